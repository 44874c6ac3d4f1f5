const INTERVAL = 2_000 // ms

/** Offers the instances of the server to connect to, where there are several; this page's own is chosen. */
export async function offerInstances (select) {
  const urls = await askInstances()
  if (urls.length < 2) return
  for (const url of urls) {
    const option = document.createElement('option')
    option.value = url
    option.textContent = new URL(url).port
    select.append(option)
  }
  select.value = document.location.origin
  select.closest('.field').hidden = false
}

/** Asks until the server answers, which it does when all instances know each other. */
async function askInstances () {
  for (;;) {
    try {
      const response = await fetch('/instances', { cache: 'no-store' })
      return await response.json()
    } catch {
      await new Promise(resolve => setTimeout(resolve, INTERVAL))
    }
  }
}
