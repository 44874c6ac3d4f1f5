import { testReact } from '../support/react-tests.js'

testReact('18, of this repository', () => undefined)
