import { isGivenBack } from './age-headers.js'

/** Marks a dead letter whose body has the plugin's own form, whatever `decode` expects. Whoever replays the letter keeps the header. */
export const OWN_FORM = 'x-notification-own-form'

/** Whether the body of a message has the plugin's own form: it was a dead letter of that form, or an earlier process has held it. */
export function hasOwnForm (headers: Readonly<Record<string, unknown>> | undefined): boolean {
  return headers?.[OWN_FORM] === true || isGivenBack(headers)
}
