import { bringIntoView, follow } from './follow.js'
import { showOutcome } from './output.js'

/**
 * Sends what a form holds, and shows what became of it.
 * @param form has the fields `content` and `json`, an `<output>`, and a button for each way to send
 * @param ways by the values of the buttons: `request()` makes the path and the JSON body for a content, `waiting` is said
 *   until there is an answer, and `describe()` puts the answer into words
 */
export function handleSending (form, ways) {
  const { content, json } = form.elements
  const output = form.querySelector('output')
  let last

  for (const [field, type] of [[json, 'change'], [content, 'input']]) {
    field.addEventListener(type, () => content.removeAttribute('aria-invalid'))
  }

  form.addEventListener('submit', async event => {
    event.preventDefault()
    const { request, waiting, describe } = ways[event.submitter.value]
    let value
    try {
      value = json.checked ? JSON.parse(content.value) : content.value
    } catch (error) {
      content.setAttribute('aria-invalid', 'true')
      content.focus()
      return showOutcome(output, 'failed', 'not sent', `The content is not JSON: ${error.message}`)
    }
    last = event
    follow()
    showOutcome(output, 'waiting', 'waiting', waiting)
    let result
    try {
      result = ['done', ...describe(await post(...request(value)))]
    } catch (error) {
      result = ['failed', 'failed', error.message]
    }
    if (last !== event) return // an answer may come after the next message was sent
    showOutcome(output, ...result)
    bringIntoView()
  })
}

async function post (path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  }).catch(() => { throw new Error('The server does not answer.') })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${response.status} ${answer.error}: ${answer.message}`)
  return answer
}
