import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promises, verifiedIds } from './promises.ts'

const tests = globSync('test/**/*.test.ts', { cwd: join(import.meta.dirname, '../..') }).filter((path) => !path.endsWith('promises.test.ts'))
const verified = new Set(tests.flatMap((path) => verifiedIds(readFileSync(path, 'utf8'))))

test('every promise has a test', () => {
  assert.deepEqual(
    Object.keys(promises).filter((id) => !verified.has(id)),
    [],
  )
})

test('every test verifies promises that exist', () => {
  assert.deepEqual(
    [...verified].filter((id) => !(id in promises)),
    [],
  )
})

test('ids are found alone, in lists and over lines', () => {
  assert.deepEqual(verifiedIds(`verifies('a.b', 'title', f)\nverifies(['c', 'd'], 'e', f)\nverifies(\n  [\n    'f',\n  ],\n  'g', f)`), ['a.b', 'c', 'd', 'f'])
})
