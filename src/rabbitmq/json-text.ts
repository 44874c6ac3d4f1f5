// Finds how a value is written in the JSON text that it was parsed from. Parsing and writing again would change numbers:
// 1E400 becomes null, and 9007199254740993 becomes 9007199254740992.
//
// The text must be valid JSON: only its structure is read.

/** The way from the outermost value to another one: names of members, and indexes of elements. */
export type Path = ReadonlyArray<string | number>

/** How many characters a slice may keep in memory besides its own. Copying a short text takes longer than finding it. */
const MAX_WASTED = 256

interface Range { readonly start: number, readonly end: number }

const SPACE = 32
const QUOTE = 34
const COMMA = 44
const OPEN_BRACKET = 91
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/** Gets the text of the value at a path. The value must exist. */
export function textAt (json: string, path: Path): string {
  let range: Range = { start: skipSpace(json, 0), end: json.length }
  for (const step of path) range = typeof step === 'number' ? element(json, range.start, step) : member(json, range.start, step)
  const text = json.slice(range.start, range.end)
  // A slice keeps the whole text in memory.
  const wasted = json.length - text.length
  return wasted > MAX_WASTED && wasted > text.length ? Buffer.from(text).toString() : text
}

/** The value of a member of the object that begins at `start`. As for the parser, the last one of a name counts. */
function member (json: string, start: number, name: string): Range {
  let range: Range = { start, end: start }
  let at = skipSpace(json, start + 1)
  while (json.charCodeAt(at) === QUOTE) {
    const keyEnd = endOfString(json, at)
    const value = skipSpace(json, skipSpace(json, keyEnd) + 1) // after the colon
    const end = endOfValue(json, value)
    if (isKey(json, at, keyEnd, name)) range = { start: value, end }
    at = nextItem(json, end)
  }
  return range
}

/** An element of the array that begins at `start`. */
function element (json: string, start: number, index: number): Range {
  let at = skipSpace(json, start + 1)
  for (let n = 0; n < index; n++) at = nextItem(json, endOfValue(json, at))
  return { start: at, end: endOfValue(json, at) }
}

/** Where the next item of an object or an array begins; if there is none, where the object or the array ends. */
function nextItem (json: string, end: number): number {
  const at = skipSpace(json, end)
  return json.charCodeAt(at) === COMMA ? skipSpace(json, at + 1) : at
}

/** Whether a key, in its quotes, is a name. A key may have escapes. */
function isKey (json: string, start: number, end: number, name: string): boolean {
  const key = json.slice(start + 1, end - 1)
  return key.includes('\\') ? JSON.parse(`"${key}"`) === name : key === name
}

function skipSpace (json: string, at: number): number {
  while (json.charCodeAt(at) <= SPACE) at++ // RFC 8259 §2: outside of strings, nothing else is below
  return at
}

function endOfValue (json: string, start: number): number {
  const first = json.charCodeAt(start)
  if (first === QUOTE) return endOfString(json, start)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return endOfScalar(json, start)
  let depth = 0
  for (let at = start; ;) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) {
      at = endOfString(json, at)
      continue
    }
    at++
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++
    else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) return at
  }
}

function endOfString (json: string, start: number): number {
  let end = json.indexOf('"', start + 1)
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1)
  return end + 1
}

/** Whether an odd number of backslashes comes before a character. */
function isEscaped (json: string, at: number): boolean {
  let first = at
  while (json.charCodeAt(first - 1) === BACKSLASH) first--
  return (at - first) % 2 === 1
}

/** The end of a number, `true`, `false` or `null`. */
function endOfScalar (json: string, start: number): number {
  let at = start
  for (; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || code <= SPACE) break
  }
  return at
}
