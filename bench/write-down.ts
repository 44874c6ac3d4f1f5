import { readFile, writeFile } from 'node:fs/promises'
import { chart, themes, type Theme } from './chart.js'
import { fill } from './report.js'
import type { Measurement } from './results.js'

/** The results that the chart shows. */
export const KEPT = 'bench/results.json'

/**
 * Writes results into their file, and into what shows them: the chart, and the documents.
 * @param file the results, a key of `parts`; nothing shows those in other files
 */
export async function writeDown (file: string, measured: Measurement): Promise<void> {
  await writeFile(file, JSON.stringify(measured, null, 2) + '\n')
  if (file === KEPT) for (const theme of Object.keys(themes) as Theme[]) await writeFile(`docs/speed-${theme}.svg`, chart(measured, theme))
  for (const path of ['README.md', 'docs/speed.md']) await writeFile(path, fill(await readFile(path, 'utf8'), file, measured))
}
