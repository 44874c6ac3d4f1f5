// The tests of `fastify-notification/react` with the other version of React that it supports.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t } from 'tap'
import { testReact } from '../support/react-tests.js'

const folder = await mkdtemp(join(tmpdir(), 'fastify-notification-react-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await writeFile(join(folder, 'package.json'), '{"private":true}')
await promisify(execFile)('npm', ['install', '--prefer-offline', '--ignore-scripts', 'react@19', 'react-dom@19'], { cwd: folder })

testReact('19', () => join(folder, 'node_modules'))
