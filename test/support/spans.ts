import { AsyncLocalStorage } from 'node:async_hooks'
import { context, propagation, ROOT_CONTEXT, trace, type Context } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { eventually } from './eventually.js'

const exporter = new InMemorySpanExporter()
const storage = new AsyncLocalStorage<Context>()

/** What an application sets up that sends its traces somewhere; here they stay in memory. */
export function setUpOpenTelemetry (): void {
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, call, self, ...args) => storage.run(active, () => call.apply(self as never, args)),
    bind: (_active, target) => target,
    enable () { return this },
    disable () { return this }
  })
}

/** The spans of a trace that have ended, once there are so many. */
export async function spansOf (traceId: string, count: number): Promise<ReadableSpan[]> {
  const found = () => exporter.getFinishedSpans().filter(span => span.spanContext().traceId === traceId)
  await eventually(() => found().length >= count, `${count} spans`)
  return found()
}

/** Every span that has ended. */
export const allSpans = (): ReadableSpan[] => exporter.getFinishedSpans()
