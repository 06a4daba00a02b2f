// SPDX-License-Identifier: Apache-2.0
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  base: './', // the page lies under a path that is made for each browser
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the Content-Security-Policy allows files of this origin and no data: addresses
    emptyOutDir: true,
  },
  test: { include: ['src/**/*.test.ts'] },
})
