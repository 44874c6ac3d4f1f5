import { runGroup } from '../support/unit-groups.js'

await runGroup(import.meta.url)
