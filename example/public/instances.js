/** Offers the instances of the server to connect to, where there are several; this page's own is chosen. */
export async function offerInstances (select) {
  const urls = await (await fetch('/instances')).json()
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
