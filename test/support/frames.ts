// AMQP 0-9-1 frames that amqplib would not send.

/** §2.3.5: type, channel, size, payload, end. */
function frame (type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(7)
  header.writeUInt8(type)
  header.writeUInt16BE(1, 1) // the first channel of a connection
  header.writeUInt32BE(payload.length, 3)
  return Buffer.concat([header, payload, Buffer.from([0xce])])
}

function shortString (text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)])
}

function method (classId: number, methodId: number, ...fields: Buffer[]): Buffer {
  const ids = Buffer.alloc(4)
  ids.writeUInt16BE(classId)
  ids.writeUInt16BE(methodId, 2)
  return frame(1, Buffer.concat([ids, ...fields]))
}

/** basic.ack (§1.8.3.13) of a delivery that never was, at which the broker closes the channel. */
export const ackOfNothing = method(60, 80, Buffer.from('00000000000f424000', 'hex'))

/** A field table with one member, in another, and so on. */
function nestedTable (depth: number): Buffer {
  let table = Buffer.alloc(4)
  for (let n = 0; n < depth; n++) {
    const entry = Buffer.concat([shortString('x'), Buffer.from('F'), table])
    const size = Buffer.alloc(4)
    size.writeUInt32BE(entry.length)
    table = Buffer.concat([size, entry])
  }
  return table
}

/** basic.publish (§1.8.3.7) to a queue, of a message whose headers are nested so deep. */
export function publishWithNestedHeaders (queue: string, body: string, depth: number): Buffer {
  const properties = Buffer.concat([Buffer.from([0x20, 0x00]), nestedTable(depth)]) // §1.8.3: bit 13 is headers
  const header = Buffer.alloc(12)
  header.writeUInt16BE(60)
  header.writeBigUInt64BE(BigInt(Buffer.byteLength(body)), 4)
  return Buffer.concat([
    method(60, 40, Buffer.alloc(2), shortString(''), shortString(queue), Buffer.from([0])),
    frame(2, Buffer.concat([header, properties])),
    frame(3, Buffer.from(body))
  ])
}
