import { textAt, type Path } from './json-text.js'

/** A value of a parsed JSON text, and where it is in its parent. */
interface Node {
  readonly value: object
  readonly parent?: Node
  readonly step?: string | number
}

/**
 * Gets the text of an object or an array in the JSON text that it was parsed from.
 * @param root the outermost value of the text
 * @returns undefined if the value is not a part of it, or was changed
 */
export function asWritten (json: string, root: unknown, value: object): string | undefined {
  const path = pathTo(root, value)
  if (path === undefined) return undefined
  const text = textAt(json, path)
  return JSON.stringify(JSON.parse(text)) === JSON.stringify(value) ? text : undefined
}

/** Finds a value, breadth first: what is passed on is mostly near the root. */
function pathTo (root: unknown, target: object): Path | undefined {
  if (typeof root !== 'object' || root === null) return undefined
  const nodes: Node[] = [{ value: root }]
  for (const node of nodes) {
    if (node.value === target) return pathOf(node)
    for (const [name, value] of Object.entries(node.value)) {
      if (typeof value === 'object' && value !== null) nodes.push({ value, parent: node, step: Array.isArray(node.value) ? Number(name) : name })
    }
  }
  return undefined
}

function pathOf (node: Node): Path {
  const steps: Array<string | number> = []
  for (let at: Node | undefined = node; at?.step !== undefined; at = at.parent) steps.push(at.step)
  return steps.reverse()
}
