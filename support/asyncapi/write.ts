// Writes the AsyncAPI document anew, after a schema has changed: npm run asyncapi
import { writeFile } from 'node:fs/promises'
import { text } from './document.js'

await writeFile(new URL('../../asyncapi.json', import.meta.url), text)
