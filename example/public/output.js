/**
 * Says what became of something.
 * @param output the `<output>`
 * @param state `waiting`, `done` or `failed`
 * @param badge the outcome, in a word
 * @param text says more
 * @param details in small letters, if any
 */
export function showOutcome (output, state, badge, text, details = '') {
  output.dataset.state = state
  output.replaceChildren(span('badge', badge), ' ', span('words', text), ...(details ? [span('details', details)] : []))
  output.firstElementChild.dataset.outcome = badge
}

function span (className, text) {
  return Object.assign(document.createElement('span'), { className, textContent: text })
}
