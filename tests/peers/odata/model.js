// Writes srv/model.csn: SAP's own entity shapes, as its npm packages bring them, made into services that keep data.
// The packages are under SAP's licence: what they contain is read when the peer is prepared, and never committed.
// What the server does beyond keeping data: see server.js and srv/orders.js.

const fs = require('fs')

const PACKAGES = {
  'business-partner': 'API_BUSINESS_PARTNER',
  'credit-management-master-data': 'API_CRDTMBUSINESSPARTNER',
  'material-stock': 'API_MATERIAL_STOCK_SRV',
  'product': 'API_PRODUCT_SRV',
  'sales-order': 'API_SALES_ORDER_SRV',
  'sales-pricing-condition-record': 'API_SLSPRICINGCONDITIONRECORD_SRV',
}
const PAGE = 25
const MOST = 100

// Where the two sides call the field differently.
const FIELDS = { 'API_BUSINESS_PARTNER.A_BusinessPartner/to_BusinessPartnerContact': ['BusinessPartnerCompany', 'BusinessPartner'] }

const keysOf = entity => Object.keys(entity.elements).filter(name => entity.elements[name].key)

// The shapes name what an association leads to, but not by which fields: those are keys of the one that the other has.
function joined(entity, name, target, special) {
  const association = entity.elements[name]
  const many = association.cardinality?.max === '*'
  const keys = keysOf(entity)
  const targetKeys = keysOf(target)
  const shared = many ? keys.filter(key => key in target.elements) : targetKeys.filter(key => key in entity.elements)
  // The field of the target, and that of the entity.
  const fields = special ? [special] : shared.map(key => [key, key])
  if (!fields.length) return undefined
  const on = fields.flatMap(([theirs, own], at) => [...(at ? ['and'] : []), { ref: [name, theirs] }, '=', { ref: [own] }])
  // What has the keys of its owner and perhaps more is a part of it, and is created with it.
  const part = many
    ? targetKeys.length > keys.length
    : targetKeys.length === keys.length && shared.every(key => keys.includes(key))
  const { keys: _, ...rest } = association
  return { ...rest, type: part ? 'cds.Composition' : 'cds.Association', on }
}

const definitions = {}
for (const [name, path] of Object.entries(PACKAGES)) {
  const file = require.resolve(`@sap/cloud-sdk-vdm-${name}-service/${name}-service-csn.json`)
  const read = JSON.parse(fs.readFileSync(file, 'utf8')).definitions
  for (const [full, definition] of Object.entries(read)) {
    if (definition.kind === 'service') {
      definition['@path'] = `sap/${path}`
      definition['@requires'] = 'authenticated-user'
      definition['@cds.query.limit.default'] = PAGE
      definition['@cds.query.limit.max'] = MOST
      if (path === 'API_SALES_ORDER_SRV') definition['@impl'] = 'srv/orders.js'
      if (path === 'API_BUSINESS_PARTNER') definition['@impl'] = 'srv/partners.js'
    }
    if (definition.kind !== 'entity') continue
    delete definition['@cds.persistence.skip']
    const { elements } = definition
    for (const [field, element] of Object.entries(elements)) {
      if (element.type === 'cds.Association') {
        const association = joined(definition, field, read[element.target], FIELDS[`${full}/${field}`])
        if (association) elements[field] = association
        else delete elements[field]
      } else if (element.key && element.type === 'cds.String') {
        // An initial key field is an empty text, as in SAP's own tables.
        element.default = { val: '' }
      }
    }
    if (elements.LastChangeDateTime) {
      elements.LastChangeDateTime['@cds.on.insert'] = elements.LastChangeDateTime['@cds.on.update'] = { '=': '$now' }
    }
  }
  const order = read['API_SALES_ORDER_SRV.A_SalesOrder']
  if (order) order.elements.LastChangeDateTime['@odata.etag'] = true
  Object.assign(definitions, read)
}
fs.mkdirSync('srv', { recursive: true })
fs.writeFileSync('srv/model.csn', JSON.stringify({ $version: '2.0', definitions }))
