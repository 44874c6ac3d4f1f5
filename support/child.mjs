import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Starts a process of a private server.
 * @param {string} label what it is, for errors
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv, log: import('node:fs/promises').FileHandle }} options
 */
export function launch (label, command, args, { cwd, env, log }) {
  const process = spawn(command, args, { cwd, env, stdio: ['ignore', log.fd, log.fd] })
  const child = { label, process, exited: false, exit: undefined }
  child.exit = new Promise((resolve) => {
    const end = () => {
      child.exited = true
      resolve()
    }
    process.once('exit', end)
    process.once('error', end)
  })
  return child
}

/**
 * Asks a process to end (SIGTERM), a frozen one too.
 * @param {ReturnType<typeof launch>} child
 * @param {number} timeout in ms
 * @returns {Promise<boolean>} whether it did in time
 */
export async function terminate (child, timeout) {
  child.process.kill('SIGCONT')
  child.process.kill('SIGTERM')
  const timer = new AbortController()
  const late = delay(timeout, false, { signal: timer.signal }).catch(() => false)
  const ended = await Promise.race([child.exit.then(() => true), late])
  timer.abort()
  return ended
}

/**
 * The end of a log, for an error.
 * @param {string} file
 * @returns {Promise<string>} empty where there is none
 */
export async function logTail (file) {
  const text = await readFile(file, 'utf8').catch(() => '')
  const lines = text.trimEnd().split('\n')
  // The crash reports at the end often push the reason out of sight.
  const errors = lines.slice(0, -30).filter((line) => line.includes('[error]')).slice(0, 10)
  return [...errors, ...lines.slice(-30)].join('\n')
}
