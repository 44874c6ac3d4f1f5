/** Appends a value to the list of a key. */
export function appendTo<Key, Value> (lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

/**
 * Finds the index of the first item that is not before the one that is looked for, by binary search.
 * @param isBefore true for items up to some index, and false for the rest
 * @param start where to begin
 * @returns the length of the list if there is none
 */
export function lowerBound<Item> (items: readonly Item[], isBefore: (item: Item) => boolean, start = 0): number {
  let low = start
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(items[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}

/** Cuts a list into parts of at most `size` items. There is at least one part. */
export function inParts<Item> (items: readonly Item[], size: number): Item[][] {
  const count = Math.max(1, Math.ceil(items.length / size))
  return Array.from({ length: count }, (_, part) => items.slice(part * size, (part + 1) * size))
}
