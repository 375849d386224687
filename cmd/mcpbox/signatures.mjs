// Fetches, in the box of an installation, what its registries say about
// signatures: their keys, and the signatures of each package. It prints that as
// JSON and judges nothing; mcpbox does.
//
//   node signatures.mjs JOB
//
// JOB is a JSON file: {"registries": [{"url", "headers"}], "packages": [{"name",
// "version", "registry"}]}, where registry is an index.
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const maxBody = 64 << 20

function get(registry, path) {
  const url = new URL(path, registry.url.replace(/\/*$/, '/'))
  const via = url.protocol === 'https:' ? https : http
  const options = { headers: { accept: 'application/json', ...registry.headers }, ...registry.tls, timeout: 30_000, agent: agents[url.protocol] }
  return new Promise((resolve, reject) => {
    const request = via.get(url, options, response => {
      const parts = []
      let size = 0
      response.on('data', part => {
        parts.push(part)
        if ((size += part.length) > maxBody) request.destroy(new Error('the answer is too long'))
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts).toString() }))
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 30 seconds')))
    request.on('error', error => reject(new Error(`${url.host}: ${error.message}`)))
  })
}

const agents = { 'https:': new https.Agent({ keepAlive: true, maxSockets: 16 }), 'http:': new http.Agent({ keepAlive: true, maxSockets: 16 }) }

// keysOf returns null where there are none: 404 from most registries that know
// nothing of signatures, other client errors from some.
async function keysOf(registry) {
  const { status, body } = await get(registry, '-/npm/v1/keys')
  if (status >= 400 && status < 500 || status === 501) return null
  if (status !== 200) throw new Error(`${new URL(registry.url).host} answers ${status} when it is asked for its keys`)
  try {
    return JSON.parse(body).keys ?? null
  } catch {
    return null // a page for people
  }
}

async function signaturesOf({ name, version, registry }) {
  const path = name.replace('/', '%2f')
  let { status, body } = await get(job.registries[registry], `${path}/${encodeURIComponent(version)}`)
  let manifest = status === 200 ? JSON.parse(body) : null
  if (!manifest?.dist) {
    ({ status, body } = await get(job.registries[registry], path))
    if (status !== 200) throw new Error(`${name}: ${new URL(job.registries[registry].url).host} answers ${status}`)
    manifest = JSON.parse(body).versions?.[version]
  }
  return manifest?.dist?.signatures ?? []
}

const keys = await Promise.all(job.registries.map(keysOf))
const wanted = job.packages.filter(p => keys[p.registry])
const signatures = []
async function worker() {
  for (let i; (i = signatures.length) < wanted.length;) {
    signatures.push(null)
    signatures[i] = await signaturesOf(wanted[i])
  }
}
await Promise.all(Array.from({ length: 16 }, worker))
const list = wanted.map((p, i) => ({ name: p.name, version: p.version, signatures: signatures[i] }))
process.stdout.write(JSON.stringify({ keys, packages: list }), () => process.exit())
