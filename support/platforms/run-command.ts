// Runs a command on a platform, in the project's folder: tsx support/platforms/run-command.ts platform command…
import { platforms } from './platforms.js'
import { assertPossible, makeRoot, PlatformError, runInRoot } from './root.js'

const [name, ...command] = process.argv.slice(2)
const platform = platforms.find((platform) => platform.name === name)
if (platform === undefined || command.length === 0) {
  console.error(`Usage: platform command…. The platforms are: ${platforms.map(({ name }) => name).join(', ')}`)
  process.exitCode = 64
} else {
  process.exitCode = await run()
}

async function run (): Promise<number> {
  try {
    await assertPossible()
    const { code } = await runInRoot(await makeRoot(platform!), command, (text) => process.stdout.write(text))
    return code
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error
    console.error(error.message)
    return 1
  }
}
