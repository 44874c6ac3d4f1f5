import neostandard, { plugins } from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    ignores: ['dist/**', 'dist-client/**', '.tap/**', 'node_modules/**']
  }),
  {
    // A promise that nobody waits for ends the process when it rejects. `void` says that it never does. This rule needs types.
    files: ['src/**/*.ts'],
    ignores: ['src/client/**', 'src/react/**'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: { '@typescript-eslint/no-floating-promises': 'error', 'no-void': ['error', { allowAsStatement: true }] }
  }
]
