import { readdirSync } from 'node:fs'

// Coverage is that of the plugin: every file of it, whichever test covers it.
const sources = readdirSync(new URL('../../src', import.meta.url), { recursive: true })
  .filter(path => path.endsWith('.ts'))
  .map(path => `src/${path}`)

export default () => sources
