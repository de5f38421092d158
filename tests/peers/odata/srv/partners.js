// Business partners: the day and the time of the last change, which SAP keeps in two fields.

const cds = require('@sap/cds')

module.exports = cds.service.impl(function () {
  this.before(['CREATE', 'UPDATE'], 'A_BusinessPartner', ({ data, timestamp }) => {
    const [day, time] = timestamp.toISOString().split('T')
    data.LastChangeDate = day
    data.LastChangeTime = time.slice(0, 8)
  })
})
