import { readFile } from 'node:fs/promises'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const Frame = Type.Object({ type: Type.String() }, { additionalProperties: true })

/** One step of a conversation. The page about the protocol has a table of them. */
const StepSchema = Type.Union([
  Type.Object({ server: Frame }, { additionalProperties: false }),
  Type.Object({ client: Frame }, { additionalProperties: false }),
  Type.Object({ wrong: Type.String() }, { additionalProperties: false }),
  Type.Object({ application: Type.Object({ id: Type.String(), content: Type.Unknown() }) }, { additionalProperties: false }),
  Type.Object({ outcome: Type.String() }, { additionalProperties: false }),
  Type.Object({ handler: Type.Union([Type.Literal('done'), Type.Literal('failed')]) }, { additionalProperties: false }),
  Type.Object({ lost: Type.Literal(true) }, { additionalProperties: false }),
  Type.Object({ closed: Type.Integer(), again: Type.Boolean() }, { additionalProperties: false })
])
export type Step = Static<typeof StepSchema>

const Conformance = Type.Object({
  about: Type.String(),
  cases: Type.Array(Type.Object({
    name: Type.String(),
    for: Type.Array(Type.Union([Type.Literal('server'), Type.Literal('client')]), { minItems: 1, uniqueItems: true }),
    options: Type.Optional(Type.Object({ offline: Type.Optional(Type.Literal('hold')), dismiss: Type.Optional(Type.Boolean()) }, { additionalProperties: false })),
    credentials: Type.Optional(Type.Union([Type.Literal('none'), Type.Literal('of somebody else')])),
    steps: Type.Array(StepSchema, { minItems: 1 })
  }, { additionalProperties: false }))
}, { additionalProperties: false })
export type Case = Static<typeof Conformance>['cases'][number]

/** The conversations of `docs/conformance.json` that a side has to pass. */
export async function casesFor (side: 'server' | 'client'): Promise<Case[]> {
  const { cases } = Value.Decode(Conformance, JSON.parse(await readFile(new URL('../../docs/conformance.json', import.meta.url), 'utf8')))
  return cases.filter(({ for: sides }) => sides.includes(side))
}
