import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, t as file, test, type Test } from 'tap'
import {
  startPrivateRabbitMQCluster, type PrivateRabbitMQCluster, type PrivateRabbitMQMember
} from '../../support/private-rabbitmq-cluster.js'
import { connectTo } from '../support/broker.js'
import { eventually } from '../support/eventually.js'
import { startProgram } from '../support/process.js'
import { processesIn } from '../support/processes-in.js'

const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } }

let folder: string
let cluster: PrivateRabbitMQCluster

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cluster-'))
  cluster = await startIn(folder, { config: { heartbeat: '37' } })
})
file.teardown(async () => {
  await cluster.remove()
  await rm(folder, { recursive: true })
})

/** Starts a cluster whose folders are all in one. */
async function startIn (path: string, options?: Parameters<typeof startPrivateRabbitMQCluster>[0]): Promise<PrivateRabbitMQCluster> {
  const { TMPDIR: usual = tmpdir() } = process.env
  process.env.TMPDIR = path
  try {
    return await startPrivateRabbitMQCluster(options)
  } finally {
    process.env.TMPDIR = usual
  }
}

async function isEmpty (path: string): Promise<boolean> {
  return (await readdir(path)).length === 0 && (await processesIn(path)).length === 0
}

/** A node and those it is connected to. `cluster_status` would ask a frozen one, too. */
async function running (node: PrivateRabbitMQMember): Promise<string[]> {
  const names = await node.ctl('eval', '[node() | nodes()].')
  return names.match(/[\w-]+@localhost/g)!.sort()
}

interface QueueState { name: string, leader: string, members: string[], online: string[] }

async function queueState (node: PrivateRabbitMQMember, queue: string): Promise<QueueState> {
  let state: QueueState | undefined
  await eventually(async () => { // while its leader is being replaced, it is not listed
    const queues = JSON.parse(await node.ctl('list_queues', '--formatter', 'json', 'name', 'leader', 'members', 'online')) as QueueState[]
    state = queues.find(({ name }) => name === queue)
    return state !== undefined
  }, 'listed')
  return state!
}

/** A quorum queue with a message that was confirmed to a node that doesn't lead it. */
async function declareWithMessage (t: Test): Promise<{ queue: string, leader: PrivateRabbitMQMember, followers: PrivateRabbitMQMember[] }> {
  const broker = await connectTo(t, cluster.nodes[0]!.url)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, quorum)
  const { leader: name } = await queueState(cluster.nodes[0]!, queue)
  const leader = cluster.nodes.find((node) => node.name === name)!
  const followers = cluster.nodes.filter((node) => node !== leader)
  const publisher = await connectTo(t, followers[0]!.url)
  await publisher.publish(queue, 'confirmed')
  return { queue, leader, followers }
}

/**
 * Waits until every node has written down that it has a queue, which takes RabbitMQ about two seconds. Those that are
 * killed before have forgotten it.
 */
async function writtenDown (queue: string): Promise<void> {
  const files = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('/names.dets'))
  await eventually(async () => {
    const texts = await Promise.all(files.map((path) => readFile(join(folder, path), 'latin1')))
    return texts.filter((text) => text.includes(queue)).length === cluster.nodes.length
  }, 'written down')
}

async function takeAll (t: Test, url: string, queue: string): Promise<string[]> {
  const broker = await connectTo(t, url)
  return (await broker.takeAll(queue, 1)).map(({ content }) => content.toString())
}

test('the nodes of a private cluster see each other, and are configured', async t => {
  const names = cluster.nodes.map(({ name }) => name).sort()
  t.equal(names.length, 3)
  t.same(cluster.urls, cluster.nodes.map(({ url }) => url))
  t.same(await Promise.all(cluster.nodes.map(running)), [names, names, names])
  t.match(await cluster.nodes[1]!.ctl('eval', 'application:get_env(rabbit, heartbeat).'), '{ok,37}')
})

test('a quorum queue of a private cluster has a member on each node, and outlives its leader', async t => {
  const names = cluster.nodes.map(({ name }) => name).sort()
  const { queue, leader, followers } = await declareWithMessage(t)
  const [, other] = followers as [PrivateRabbitMQMember, PrivateRabbitMQMember]
  const { members } = await queueState(other, queue)
  t.same(members.sort(), names)
  await eventually(async () => (await queueState(other, queue)).online.toSorted().join() === names.join(), 'all members are online')

  await leader.kill()
  await eventually(async () => {
    const { leader: current } = await queueState(other, queue)
    return followers.some(({ name }) => name === current)
  }, 'another leader')
  t.same(await takeAll(t, other.url, queue), ['confirmed'])

  const { url } = leader
  await leader.start()
  t.equal(leader.url, url)
  await eventually(async () => (await queueState(leader, queue)).online.length === 3, 'its member is back')
  t.same(await Promise.all(cluster.nodes.map(running)), [names, names, names])
})

test('the nodes of a private cluster that were killed and started together have what they confirmed', async t => {
  const { queue, leader } = await declareWithMessage(t)
  await writtenDown(queue)
  await Promise.all(cluster.nodes.map((node) => node.kill()))
  await Promise.all(cluster.nodes.map((node) => node.start()))
  // Until its members have elected a leader, RabbitMQ closes the channel of whoever wants the queue's messages.
  await eventually(async () => {
    const { leader: current, online } = await queueState(leader, queue)
    return current !== '' && online.length === 3
  }, 'its members are back')
  t.same(await takeAll(t, leader.url, queue), ['confirmed'])
})

test('a frozen node of a private cluster is given up by the others, and joins them when it was started again', async t => {
  const [frozen, other] = cluster.nodes as [PrivateRabbitMQMember, PrivateRabbitMQMember]
  await frozen.freeze()
  await other.ctl('eval', `net_kernel:monitor_nodes(true),
    case lists:member('${frozen.name}', nodes()) of true -> receive {nodedown, '${frozen.name}'} -> ok end; false -> ok end.`)
  await eventually(async () => (await running(other)).length === 2, 'it is given up')
  await frozen.kill()
  await frozen.start()
  t.equal((await running(other)).length, 3, 'they see each other again')
})

test('a private cluster that cannot start says why and leaves nothing', async t => {
  const path = await mkdtemp(join(tmpdir(), 'cluster-'))
  await t.rejects(startIn(path, { config: { nonsense: 'yes' } }), { code: 'PRIVATE_RABBITMQ_FAILED', message: /nonsense/ })
  t.ok(await isEmpty(path), 'nothing is left')
  await rm(path, { recursive: true })
})

test('a private cluster that is removed leaves no folder and no process', async t => {
  t.notOk(await isEmpty(folder))
  await cluster.nodes[0]!.kill()
  await cluster.remove()
  t.ok(await isEmpty(folder))
  await cluster.remove()
  await t.rejects(cluster.nodes[0]!.start(), { code: 'PRIVATE_RABBITMQ_FAILED' })
})

test('a private cluster goes with the process that started it, however that ends', async t => {
  const path = await mkdtemp(join(tmpdir(), 'cluster-'))
  const program = startProgram(t, 'test/support/private-rabbitmq-cluster-owner.ts', [path])
  const [urls] = await once(program.stdout!.setEncoding('utf8'), 'data') as [string]
  t.equal(urls.split(' ').length, 3)
  program.kill('SIGKILL')
  await eventually(() => isEmpty(path), 'folders and processes gone')
  await rm(path, { recursive: true })
})
