import type { Browser } from 'playwright-core'
import type { Test } from 'tap'

/** A page that the browser hides and freezes as it does those of a user. */
export interface HideablePage {
  /** Resolves to the value of an expression. */
  evaluate (expression: string): Promise<unknown>
  /** Minimises the window. */
  hide (): Promise<void>
  show (): Promise<void>
  /** Stops the page, which is hidden. */
  freeze (): Promise<void>
  resume (): Promise<void>
}

/**
 * Opens a page in a window of its own. Playwright tells its own pages that they have the focus, and the browser neither
 * hides nor freezes those. So this one is made and asked by the protocol of Chromium's developer tools.
 */
export async function openHideablePage (t: Test, browser: Browser, url: string): Promise<HideablePage> {
  const devTools = await browser.newBrowserCDPSession()
  const { browserContextId } = await devTools.send('Target.createBrowserContext')
  const { targetId } = await devTools.send('Target.createTarget', { url, browserContextId, newWindow: true })
  const { sessionId } = await devTools.send('Target.attachToTarget', { targetId })
  const { windowId } = await devTools.send('Browser.getWindowForTarget', { targetId })
  t.teardown(() => devTools.send('Target.disposeBrowserContext', { browserContextId }))

  const answers = new Map<number, (answer: any) => void>()
  let asked = 0
  devTools.on('Target.receivedMessageFromTarget', ({ message }) => {
    const answer = JSON.parse(message)
    answers.get(answer.id)?.(answer)
  })

  async function send (method: string, params: object): Promise<any> {
    const id = ++asked
    const answered = new Promise<any>(resolve => answers.set(id, resolve))
    await devTools.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method, params }) })
    const { result, error } = await answered
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }

  const setWindow = async (windowState: 'minimized' | 'normal') => { await devTools.send('Browser.setWindowBounds', { windowId, bounds: { windowState } }) }
  const setState = async (state: 'frozen' | 'active') => { await send('Page.setWebLifecycleState', { state }) }
  return {
    async evaluate (expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
      if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
      return result.value
    },
    hide: () => setWindow('minimized'),
    show: () => setWindow('normal'),
    freeze: () => setState('frozen'),
    resume: () => setState('active')
  }
}
