/** Batches the items for the same address within one turn of the event loop. */
export function createTurnBatcher<Item> (send: (address: string, items: Item[]) => void) {
  let gathered = new Map<string, Item[]>()
  let scheduled: NodeJS.Immediate | undefined

  function flush (): void {
    clearImmediate(scheduled)
    scheduled = undefined
    const due = gathered
    gathered = new Map()
    for (const [address, items] of due) send(address, items)
  }

  return {
    add (address: string, item: Item): void {
      const items = gathered.get(address)
      if (items === undefined) gathered.set(address, [item])
      else items.push(item)
      scheduled ??= setImmediate(flush)
    },

    flush
  }
}
