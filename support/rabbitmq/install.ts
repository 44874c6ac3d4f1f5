import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { canInstallDebianPackages, installDebianPackage } from '../apt.js'

// The package's command in /usr/sbin switches to the package's own user, who can't write our folder.
const serverScript = '/usr/lib/rabbitmq/bin/rabbitmq-server'

/** Where a private node comes from: a server installed on this machine, or a container. */
export type RabbitMQSource = 'installed' | 'docker'

/** Thrown where there is no RabbitMQ and none can be got. */
export class RabbitMQUnavailableError extends Error {
  readonly code = 'RABBITMQ_UNAVAILABLE'
  override readonly name = 'RabbitMQUnavailableError'
}

/**
 * Finds a RabbitMQ to start nodes of: Docker where `RABBITMQ_IMAGE` names an image, else the installed server; installs
 * Debian's package where there is none, we may, and we are root on Debian.
 * @param options `install: false` forbids the installation; `log` is told of it
 * @returns where nodes come from
 * @throws {RabbitMQUnavailableError} where there is neither a server nor Docker
 */
export async function findRabbitMQ (
  { install, log }: { install: boolean, log?: ((line: string) => void) | undefined }
): Promise<RabbitMQSource> {
  const { RABBITMQ_IMAGE: image } = process.env
  if (image) {
    if (await dockerAnswers()) return 'docker'
    throw new RabbitMQUnavailableError(`RABBITMQ_IMAGE is ${image}, but Docker does not answer: start Docker, or unset RABBITMQ_IMAGE to use an installed server`)
  }
  if (existsSync(serverScript)) return 'installed'

  let failure: unknown
  if (install && canInstallDebianPackages()) {
    try {
      await installDebianPackage(['rabbitmq-server'], { log })
      if (existsSync(serverScript)) return 'installed'
    } catch (error) {
      failure = error
      log?.((error as Error).message)
    }
  }

  if (await dockerAnswers()) return 'docker'

  throw new RabbitMQUnavailableError([
    'No RabbitMQ here. There are three ways to get one:',
    '- install the package, `apt-get install rabbitmq-server` on Debian and Ubuntu (done for you where you are root),',
    '- start Docker, which is then used to run the image rabbitmq:4, or that of RABBITMQ_IMAGE,',
    '- set AMQP_URL to a broker that you may use.',
    ...(failure ? [(failure as Error).message] : [])
  ].join('\n'), { cause: failure })
}

async function dockerAnswers (): Promise<boolean> {
  try {
    // Without a server, older clients exit with 0 and say nothing here.
    const { stdout } = await promisify(execFile)('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 10_000 })
    return stdout.trim() !== ''
  } catch {
    return false
  }
}
