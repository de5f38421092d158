// The data that the peer begins with, always the same: customers, their credit, products, prices, stock, one order.

const cds = require('@sap/cds')

const CUSTOMERS = 60
const PRODUCTS = 40
const AREA = { SalesOrganization: 'NL01', DistributionChannel: '10', Division: '00' }
const ALWAYS = { ConditionValidityStartDate: '2026-01-01', ConditionValidityEndDate: '9999-12-31' }
const TOWNS = [['NL', '1011 AB', 'Amsterdam'], ['NL', '3511 CD', 'Utrecht'], ['BE', '2000', 'Antwerpen'], ['DE', '50667', 'Köln']]

const range = count => [...Array(count).keys()]
const customer = n => String(1000001 + n)
const material = n => `MAT-${String(n + 1).padStart(3, '0')}`
const day = n => `2026-${String(1 + n % 9).padStart(2, '0')}-${String(1 + n % 27).padStart(2, '0')}`

function partner(n) {
  const [Country, PostalCode, CityName] = TOWNS[n % 4]
  const name = `Installatiebedrijf ${['Noord', 'Oost', 'Zuid', 'West'][n % 4]} ${n + 1}`
  const address = (at, usage, StreetName) => ({
    AddressID: String(20000 + 2 * n + at), StreetName, HouseNumber: String(n + 1), PostalCode, CityName, Country, Language: 'NL',
    to_AddressUsage: [{ AddressUsage: usage, ValidityEndDate: '9999-12-31T23:59:59Z', StandardUsage: true }],
    to_EmailAddress: at ? [] : [{ OrdinalNumber: '1', IsDefaultEmailAddress: true, EmailAddress: `inkoop${n + 1}@example.com` }],
  })
  return {
    BusinessPartner: customer(n), Customer: customer(n), BusinessPartnerCategory: '2', BusinessPartnerFullName: name,
    BusinessPartnerName: name, OrganizationBPName1: name, BusinessPartnerIsBlocked: n === CUSTOMERS - 1, IsMarkedForArchiving: false,
    CorrespondenceLanguage: 'NL', CreationDate: '2026-01-01', LastChangeDate: day(n), LastChangeTime: `08:${String(n).padStart(2, '0')}:00`,
    to_BusinessPartnerAddress: [address(0, 'XXDEFAULT', 'Kantoorweg'), address(1, 'SHIP_TO', 'Magazijnweg')],
    to_BusinessPartnerTax: [{ BPTaxType: 'NL0', BPTaxNumber: 'NL004495445B01' }],
    to_BusinessPartnerRole: [{ BusinessPartnerRole: 'FLCU01' }],
  }
}

function person(n) {
  return {
    BusinessPartner: String(2000001 + n), BusinessPartnerCategory: '1', FirstName: 'Anna', LastName: `Inkoper ${n + 1}`,
    BusinessPartnerFullName: `Anna Inkoper ${n + 1}`, LastChangeDate: day(n), LastChangeTime: '09:00:00', BusinessPartnerIsBlocked: false,
  }
}

function contact(n) {
  return {
    RelationshipNumber: String(n + 1), BusinessPartnerCompany: customer(n), BusinessPartnerPerson: String(2000001 + n),
    ValidityStartDate: '2026-01-01', ValidityEndDate: '9999-12-31', RelationshipCategory: 'BUR001', IsStandardRelationship: true,
    to_ContactRelationship: { ContactPersonFunction: '0001', EmailAddress: `anna${n + 1}@example.com`, PhoneNumber: `+3120123${String(n).padStart(4, '0')}` },
  }
}

function sales(n) {
  const partners = ['SP', 'BP', 'PY', 'SH'].map(PartnerFunction => ({ PartnerCounter: '0', PartnerFunction, BPCustomerNumber: customer(n) }))
  return {
    Customer: customer(n), CustomerName: `Installatiebedrijf ${n + 1}`, CustomerAccountGroup: 'CUST', VATRegistration: 'NL004495445B01',
    // One may not order at all.
    OrderIsBlockedForCustomer: n === 5 ? '01' : '', DeletionIndicator: false,
    to_CustomerSalesArea: [{
      ...AREA, Currency: 'EUR', CustomerPriceGroup: n % 2 ? '02' : '01', PriceListType: '01', CustomerPaymentTerms: n % 3 ? '0030' : '0014',
      CustomerGroup: '01', OrderIsBlockedForCustomer: '', DeletionIndicator: false, CompleteDeliveryIsDefined: n % 5 === 0, to_PartnerFunction: partners,
    }],
    to_CustomerCompany: [{ CompanyCode: 'NL01', PaymentTerms: n % 3 ? '0030' : '0014', DeletionIndicator: false }],
  }
}

// The third has used 950 of 1000; the fourth may order nothing on account; every fifth has no limit.
function credit(n) {
  const limit = n === 2 ? 1000 : n === 3 ? 0 : n % 5 === 4 ? null : 5000 * (n + 1)
  return {
    BusinessPartner: customer(n), CreditRiskClass: 'A', CreditCheckRule: '01',
    to_CreditMgmtAccountTP: [{
      CreditSegment: '0000', CreditLimitAmount: limit, CreditLimitIsZero: limit === 0, CreditSegmentCurrency: 'EUR',
      CreditAccountIsBlocked: false, CreditLimitLastChangeDate: '2026-01-01', CreditLimitValidityEndDate: '9999-12-31',
    }],
  }
}

function product(n) {
  return {
    Product: material(n), ProductType: 'HAWA', BaseUnit: 'PC', ProductGroup: ['ELBOW', 'VALVE', 'PIPE', 'TOOL'][n % 4], Division: '00',
    GrossWeight: (300 + 25 * n) / 1000, NetWeight: (250 + 25 * n) / 1000, WeightUnit: 'KG', MaterialVolume: (500 + 10 * n) / 1000, VolumeUnit: 'L',
    IsMarkedForDeletion: n === PRODUCTS - 1, CrossPlantStatus: n === PRODUCTS - 2 ? '01' : '', CreationDate: '2026-01-01', LastChangeDate: day(n),
    to_Description: [
      { Language: 'EN', ProductDescription: `Brass fitting ${15 + n} mm` },
      { Language: 'NL', ProductDescription: `Messing koppeling ${15 + n} mm` },
    ],
    to_ProductUnitsOfMeasure: [
      { AlternativeUnit: 'PC', QuantityNumerator: 1, QuantityDenominator: 1, BaseUnit: 'PC' },
      { AlternativeUnit: 'CT', QuantityNumerator: 12, QuantityDenominator: 1, BaseUnit: 'PC' },
    ],
    to_SalesDelivery: [{ ProductSalesOrg: AREA.SalesOrganization, ProductDistributionChnl: '10', MinimumOrderQuantity: n % 8 ? 1 : 12, DeliveryQuantity: n % 8 ? 1 : 12, DeliveryQuantityUnit: 'PC', PriceSpecificationProductGroup: '01', BaseUnit: 'PC' }],
  }
}

// A condition record and its validity, which says for whom and what it is.
function condition(number, table, rate, access, more = {}) {
  const own = { ConditionRecord: String(number).padStart(10, '0'), ConditionApplication: 'V', ConditionType: 'PR00', ...ALWAYS, ...more.both }
  const { scales = [], both: _, ...rest } = more
  return {
    record: {
      ...own, ConditionSequentialNumber: '1', ConditionTable: table, ConditionCalculationType: 'C', ConditionRateValue: rate, ConditionRateValueUnit: 'EUR',
      ConditionQuantity: 1, ConditionQuantityUnit: 'PC', PricingScaleType: 'A', PricingScaleBasis: scales.length ? 'C' : '', ConditionIsDeleted: false, ...rest,
      to_SlsPrcgCndnRecordScale: scales.map(([quantity, scaled], at) => ({
        ConditionSequentialNumber: '1', ConditionScaleLine: String(at + 1), ConditionScaleQuantity: quantity,
        ConditionScaleQuantityUnit: 'PC', ConditionRateValue: scaled, ConditionRateValueUnit: 'EUR',
      })),
    },
    validity: { ...own, SalesOrganization: AREA.SalesOrganization, DistributionChannel: '10', Customer: '', Material: '', CustomerPriceGroup: '', ...access },
  }
}

function conditions() {
  const base = range(PRODUCTS).map(n => condition(1 + n, '304', 10 + n / 4, { Material: material(n) },
    // Sold by the hundred.
    n % 10 === 9 ? { ConditionRateValue: 1000 + 25 * n, ConditionQuantity: 100 } : {}))
  // The second customer's own prices, with scales from 10 and from 100 pieces.
  const own = range(10).map(n => condition(101 + n, '305', 9 + n / 4, { Customer: customer(1), Material: material(n) },
    { scales: [[1, 9 + n / 4], [10, 8 + n / 4], [100, 7 + n / 4]] }))
  return [
    ...base, ...own,
    // A discount for a price group, a price that has run out, and one that was deleted.
    condition(201, '30A', -5, { CustomerPriceGroup: '02' }, { both: { ConditionType: 'K020' }, ConditionCalculationType: 'A', ConditionRateValueUnit: '%' }),
    condition(202, '305', 1, { Customer: customer(2), Material: material(0) }, { both: { ConditionValidityStartDate: '2025-01-01', ConditionValidityEndDate: '2025-12-31' } }),
    condition(203, '305', 1, { Customer: customer(6), Material: material(39) }, { both: { ConditionValidityEndDate: '2026-01-01' }, ConditionIsDeleted: true }),
  ]
}

function stock() {
  const row = (n, Plant, InventoryStockType, quantity) => ({
    Material: material(n), Plant, StorageLocation: '0001', InventoryStockType, MaterialBaseUnit: 'PC', MatlWrhsStkQtyInMatlBaseUnit: quantity,
    Batch: '', Supplier: '', Customer: '', WBSElementInternalID: '', SDDocument: '', SDDocumentItem: '', InventorySpecialStockType: '',
  })
  // In quality inspection is not for sale.
  return range(PRODUCTS).flatMap(n => [row(n, '1010', '01', n * 7), row(n, '1020', '01', n * 2), ...(n % 10 ? [] : [row(n, '1010', '02', 3)])])
}

// The order by which the third customer has used its limit.
const order = {
  SalesOrder: '4999999', SalesOrderType: 'OR', SalesOrganization: AREA.SalesOrganization, DistributionChannel: '10', OrganizationDivision: '00',
  SoldToParty: customer(2), PurchaseOrderByCustomer: 'PHONE-1', TransactionCurrency: 'EUR', TotalNetAmount: 950, OverallSDProcessStatus: 'A',
  CreationDate: '2026-02-02', SalesOrderDate: '2026-02-02',
  to_Item: [{ SalesOrderItem: '10', Material: material(0), RequestedQuantity: 95, RequestedQuantityUnit: 'PC', NetAmount: 950, TransactionCurrency: 'EUR', SDProcessStatus: 'A' }],
}

module.exports = async function load() {
  const customers = range(CUSTOMERS)
  const prices = conditions()
  const tables = {
    'API_BUSINESS_PARTNER.A_BusinessPartner': [...customers.map(partner), ...range(10).map(person)],
    'API_BUSINESS_PARTNER.A_BusinessPartnerContact': range(10).map(contact),
    'API_BUSINESS_PARTNER.A_Customer': customers.map(sales),
    'cds_api_crdtmbusinesspartner.CreditMgmtBusinessPartner': customers.map(credit),
    'API_PRODUCT_SRV.A_Product': range(PRODUCTS).map(product),
    'API_SLSPRICINGCONDITIONRECORD_SRV.A_SlsPrcgConditionRecord': prices.map(price => price.record),
    'API_SLSPRICINGCONDITIONRECORD_SRV.A_SlsPrcgCndnRecdValidity': prices.map(price => price.validity),
    'API_MATERIAL_STOCK_SRV.A_MaterialStock': range(PRODUCTS).map(n => ({ Material: material(n), MaterialBaseUnit: 'PC' })),
    'API_MATERIAL_STOCK_SRV.A_MatlStkInAcctMod': stock(),
    'API_SALES_ORDER_SRV.A_SalesOrder': [order],
  }
  // Without CSV files the tables exist, but the connection is made on demand.
  const db = await cds.connect.to('db')
  await db.tx(async () => {
    for (const [table, rows] of Object.entries(tables)) await INSERT.into(table).entries(rows)
  })
}
