/**
 * Lets somebody choose whom a message is for.
 * @param form has the fields `to`, `userId` and `group`, and a button for `notify()`, which is for one user
 * @returns says it as the members of a message
 */
export function chooseRecipient (form) {
  const { to, userId, group } = form.elements
  const notify = form.querySelector('[value="notify"]')

  function show () {
    for (const field of [userId, group]) {
      field.disabled = field.name !== to.value
      field.closest('.field').hidden = field.disabled
    }
    notify.disabled = userId.disabled
  }

  to.addEventListener('change', show)
  show()
  return () => ({ [to.value]: to.value === 'everybody' ? true : form.elements[to.value].value })
}
