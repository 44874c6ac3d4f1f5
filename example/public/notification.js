const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

export const now = () => time.format()

/** Puts a notification into a copy of a template. */
export function fill (element, { content, at, marks }) {
  // As text, never as HTML: it comes from somebody else.
  element.querySelector('.content').textContent = typeof content === 'string' ? content : JSON.stringify(content)
  const when = element.querySelector('time')
  when.dateTime = at.toISOString()
  when.textContent = time.format(at)
  for (const mark of marks) addMark(element, mark)
}

/** Says something about a notification that is not part of it. */
export function addMark (element, text) {
  const mark = document.createElement('span')
  mark.className = 'mark'
  mark.textContent = text
  element.querySelector('.meta').append(mark)
}
