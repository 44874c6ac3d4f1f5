import { exchange } from '../network.mjs'

/**
 * Says whether a broker answers: the protocol header is met by a Connection.Start frame
 * (AMQP 0-9-1 §2.2.4, §4.2.2).
 * @param {number} port
 * @returns {Promise<boolean>}
 */
export function answersAmqp (port) {
  return exchange(port, Buffer.from('AMQP\0\0\x09\x01', 'latin1'), (bytes) => {
    if (bytes.length < 11) return undefined
    const [type, channel, classId, methodId] = [bytes[0], bytes.readUInt16BE(1), bytes.readUInt16BE(7), bytes.readUInt16BE(9)]
    return type === 1 && channel === 0 && classId === 10 && methodId === 10
  })
}
