import type { Connection } from './connection.ts'
import type { Store } from './store.ts'

export function metaRecords(connection: Connection): Pick<Store, 'meta' | 'setMeta'> {
  return {
    meta(key) {
      const value = connection.get('SELECT value FROM meta WHERE key = :key', { key })?.['value']
      return typeof value === 'string' ? value : undefined
    },
    setMeta(key, value) {
      if (value === null) connection.run('DELETE FROM meta WHERE key = :key', { key })
      else connection.run('INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT DO UPDATE SET value = :value', { key, value })
    },
  }
}
