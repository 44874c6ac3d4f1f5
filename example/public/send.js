/**
 * Sends what a form holds, and shows what became of it.
 * @param form has the fields `userId`, `content` and `json`, and an `<output>`
 * @param send makes the path and the JSON body of a message
 * @param waiting is said until there is an answer
 * @param describe puts the answer into words
 */
export function handleForm (form, { send, waiting, describe }) {
  const { userId, content, json } = form.elements
  const output = form.querySelector('output')
  let last

  function show (state, text) {
    output.dataset.state = state
    output.textContent = text
  }

  json.addEventListener('change', () => content.removeAttribute('aria-invalid'))
  content.addEventListener('input', () => content.removeAttribute('aria-invalid'))

  form.addEventListener('submit', async event => {
    event.preventDefault()
    let message
    try {
      message = { userId: userId.value, content: json.checked ? JSON.parse(content.value) : content.value }
    } catch (error) {
      content.setAttribute('aria-invalid', 'true')
      content.focus()
      return show('failed', `The content is not JSON: ${error.message}`)
    }
    last = message
    show('waiting', waiting)
    let result
    try {
      result = ['done', describe(await post(...send(message)))]
    } catch (error) {
      result = ['failed', error.message]
    }
    if (last === message) show(...result) // an answer may come after the next message was sent
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
