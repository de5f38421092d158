// Sales orders: numbers, prices, and the checks that refuse an order, the credit limit among them.

const cds = require('@sap/cds')

const PARTNERS = 'API_BUSINESS_PARTNER'
const PRICES = 'API_SLSPRICINGCONDITIONRECORD_SRV'
const CREDIT = 'cds_api_crdtmbusinesspartner'
const ORDERS = 'API_SALES_ORDER_SRV'

const cents = amount => Math.round((amount + Number.EPSILON) * 100) / 100

function refuse(request, code, message, target) {
  request.reject({ status: 400, code, message, target })
}

// The price of one unit: the customer's own condition, or else the one for everybody; the scale counts from its quantity.
async function price(customer, material, quantity, day) {
  const valid = await SELECT.from(`${PRICES}.A_SlsPrcgCndnRecdValidity`).where({
    ConditionType: 'PR00', Material: material, Customer: { in: [customer, ''] },
    ConditionValidityStartDate: { '<=': day }, ConditionValidityEndDate: { '>=': day },
  })
  const found = valid.find(row => row.Customer === customer) || valid[0]
  if (!found) return undefined
  const record = await SELECT.one.from(`${PRICES}.A_SlsPrcgConditionRecord`).where({ ConditionRecord: found.ConditionRecord })
  const scales = await SELECT.from(`${PRICES}.A_SlsPrcgCndnRecordScale`).where({ ConditionRecord: found.ConditionRecord })
  const reached = scales
    .filter(scale => Number(scale.ConditionScaleQuantity) <= quantity)
    .sort((a, b) => b.ConditionScaleQuantity - a.ConditionScaleQuantity)[0]
  return Number((reached || record).ConditionRateValue) / Number(record.ConditionQuantity || 1)
}

// What is still free of a customer's limit, or nothing where there is no limit.
async function free(customer) {
  const account = await SELECT.one.from(`${CREDIT}.CreditManagementAccount`).where({ BusinessPartner: customer })
  if (!account || (account.CreditLimitAmount === null && !account.CreditLimitIsZero)) return undefined
  const open = await SELECT.from(`${ORDERS}.A_SalesOrder`).columns('TotalNetAmount')
    .where({ SoldToParty: customer, OverallSDProcessStatus: { '!=': 'C' } })
  const used = open.reduce((sum, order) => sum + Number(order.TotalNetAmount), 0)
  return Number(account.CreditLimitAmount || 0) - used
}

module.exports = cds.service.impl(function () {
  let last = 5000000

  this.before('CREATE', 'A_SalesOrder', async request => {
    const order = request.data
    const day = new Date().toISOString().slice(0, 10)
    if (!order.SoldToParty) refuse(request, 'V1/312', 'Enter a sold-to party', 'SoldToParty')
    const customer = await SELECT.one.from(`${PARTNERS}.A_Customer`).where({ Customer: order.SoldToParty })
    if (!customer) refuse(request, 'V1/313', `Customer ${order.SoldToParty} does not exist`, 'SoldToParty')
    if (customer.OrderIsBlockedForCustomer) refuse(request, 'V1/314', `Customer ${order.SoldToParty} is blocked for orders`, 'SoldToParty')
    if (!order.to_Item?.length) refuse(request, 'V1/315', 'Enter at least one item', 'to_Item')
    order.SalesOrder = String(++last)
    order.CreationDate = order.SalesOrderDate = day
    order.TransactionCurrency ||= 'EUR'
    order.OverallSDProcessStatus = 'A'
    order.OverallDeliveryStatus = 'A'
    for (const [at, item] of order.to_Item.entries()) {
      item.SalesOrderItem ||= String((at + 1) * 10)
      const product = await SELECT.one.from('API_PRODUCT_SRV.A_Product').where({ Product: item.Material || '' })
      if (!product) refuse(request, 'V1/316', `Material ${item.Material} is not defined for sales`, `to_Item(${at})/Material`)
      const quantity = Number(item.RequestedQuantity)
      if (!(quantity > 0)) refuse(request, 'V1/317', 'Enter an order quantity', `to_Item(${at})/RequestedQuantity`)
      const manual = item.to_PricingElement?.find(element => element.ConditionType === 'PR00')
      const each = manual
        ? Number(manual.ConditionRateValue) / Number(manual.ConditionQuantity || 1)
        : await price(order.SoldToParty, item.Material, quantity, day)
      if (each === undefined) refuse(request, 'V1/318', `Mandatory condition PR00 is missing for ${item.Material}`, `to_Item(${at})/Material`)
      item.RequestedQuantityUnit ||= product.BaseUnit
      item.TransactionCurrency = order.TransactionCurrency
      item.NetAmount = cents(each * quantity)
      item.SDProcessStatus = 'A'
      item.to_ScheduleLine = [{
        SalesOrder: order.SalesOrder, SalesOrderItem: item.SalesOrderItem, ScheduleLine: '1',
        RequestedDeliveryDate: order.RequestedDeliveryDate, ConfirmedDeliveryDate: order.RequestedDeliveryDate || day,
        ScheduleLineOrderQuantity: quantity, ConfdOrderQtyByMatlAvailCheck: quantity,
        OrderQuantityUnit: item.RequestedQuantityUnit,
      }]
    }
    order.TotalNetAmount = cents(order.to_Item.reduce((sum, item) => sum + item.NetAmount, 0))
    const limit = await free(order.SoldToParty)
    if (limit !== undefined && order.TotalNetAmount > limit) {
      const short = cents(order.TotalNetAmount - limit).toFixed(2)
      refuse(request, 'UKM/101', `Credit limit of customer ${order.SoldToParty} is exceeded by ${short} ${order.TransactionCurrency}`, 'SoldToParty')
    }
    order.TotalCreditCheckStatus = 'A'
  })
})
