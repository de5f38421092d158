// The server: on the loopback address only, with Basic authentication and a CSRF token as SAP Gateway demands them,
// OData V2 under /sap/opu/odata/sap/ and V4 under /odata/v4/sap/. The data it begins with is in data.js.
// The V2 adapter writes `localhost` into its links, whatever name it was asked under: ask it under that one.

const crypto = require('crypto')
const cds = require('@sap/cds')
const v2 = require('@cap-js-community/odata-v2-adapter')

// Whoever started the peer may hold its standard input: it ends with them, however they end.
if (process.env.PEER_UNTIL_EOF === '1') process.stdin.resume().on('end', () => process.exit(0))

const { users } = cds.env.requires.auth
const authorized = header => {
  const [, basic] = /^Basic (.+)$/i.exec(header || '') || []
  const [name, ...password] = Buffer.from(basic || '', 'base64').toString().split(':')
  return Boolean(users[name]?.password) && users[name].password === password.join(':')
}

// The adapter asks V4 for what V2 is asked: that the request was checked already is known by this.
const INNER = 'x-peer-inner'
const inner = crypto.randomBytes(16).toString('hex')
// Session by CSRF token.
const tokens = new Map()

function gateway(request, response, next) {
  const { headers } = request
  if (headers[INNER] === inner) return next()
  if (!authorized(headers.authorization)) {
    response.set('www-authenticate', 'Basic realm="SAP NetWeaver Application Server"')
    return response.status(401).type('text/plain').send('Logon failed')
  }
  const [, cookie] = /SAP_SESSIONID=([^;]+)/.exec(headers.cookie || '') || []
  const token = headers['x-csrf-token']
  if (['GET', 'HEAD'].includes(request.method)) {
    if (/^fetch$/i.test(token || '')) {
      const session = cookie || crypto.randomUUID()
      const fresh = crypto.randomBytes(16).toString('base64')
      tokens.set(fresh, session)
      response.set('x-csrf-token', fresh)
      response.append('set-cookie', `SAP_SESSIONID=${session}; path=/; HttpOnly`)
    }
  } else if (!tokens.has(token) || tokens.get(token) !== cookie) {
    response.set('x-csrf-token', 'Required')
    return response.status(403).type('text/plain').send('CSRF token validation failed')
  }
  delete headers['x-csrf-token']
  headers[INNER] = inner
  next()
}

cds.on('bootstrap', app => {
  const listen = app.listen.bind(app)
  app.listen = (port, ...rest) => listen(port, '127.0.0.1', ...rest)
  app.use(['/sap', '/odata'], gateway)
  // For tests: the sessions run out.
  app.post('/peer/end-sessions', (_, response) => {
    tokens.clear()
    response.sendStatus(204)
  })
  app.use(v2({ path: 'sap/opu/odata', target: `http://127.0.0.1:${process.env.PORT}` }))
})
cds.on('served', () => require('./data')())

module.exports = cds.server
