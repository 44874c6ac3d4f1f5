// Runs schedules 0 to `count` of each setting, and prints what went wrong: node --import tsx run-schedules.ts <count>
import { findViolation, settings } from './schedules.js'

const count = Number(process.argv[2])
for (const setting of settings) {
  const found = await findViolation(setting, Array.from({ length: count }, (_, seed) => seed))
  if (found !== undefined) console.log(`${JSON.stringify(setting)}, SCHEDULE=${found.seed}: ${found.violations.join('; ')}\n${found.story.join('\n')}`)
}
