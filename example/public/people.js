const list = document.querySelector('#people')
const template = document.querySelector('#person')
const nobody = document.querySelector('#nobody')

/** The users who have a card, by their ids. */
const people = new Map()

/**
 * Puts a card beside the others of its user.
 * @returns what to call the card, and a function that removes it
 */
export function addTab (userId, card) {
  const person = people.get(userId) ?? addPerson(userId)
  person.tabs.append(card)
  nobody.hidden = true

  return {
    tab: ++person.count, // the others keep theirs when one goes
    remove () {
      card.remove()
      if (person.tabs.childElementCount > 0) return
      person.element.remove()
      people.delete(userId)
      nobody.hidden = people.size > 0
    }
  }
}

function addPerson (userId) {
  const element = template.content.firstElementChild.cloneNode(true)
  element.setAttribute('aria-label', `User ${userId}`)
  element.querySelector('.user').textContent = userId
  list.append(element)
  const person = { element, tabs: element.querySelector('.tabs'), count: 0 }
  people.set(userId, person)
  return person
}
