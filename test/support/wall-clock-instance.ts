// An application whose wall clock the test may set: `holding-instance.ts`, with the same arguments. The parent process
// sends milliseconds to add to the wall clock, and gets them back when that is done.
const RealDate = Date
let shift = 0

globalThis.Date = class extends RealDate {
  constructor (...args: [] | [number]) {
    super(...(args.length === 0 ? [RealDate.now() + shift] as [number] : args))
  }

  static override now (): number {
    return RealDate.now() + shift
  }
} as DateConstructor

process.on('message', (milliseconds: number) => {
  shift += milliseconds
  process.send!(milliseconds)
})

await import('./holding-instance.js')
