#!/usr/bin/env python3
"""Fills a fresh Tryton database with a company and its data, always the same.

usage: load.py CONFIGURATION DATABASE

Only what a wholesaler would enter lives here. Which modules are activated and how the server runs: see prepare and
start.
"""
import datetime
import sys
from decimal import Decimal

import trytond.config

configuration, database = sys.argv[1:]
trytond.config.update_etc(configuration)

from proteus import Model, config  # noqa: E402  (reads the configuration when it is imported)

session = config.set_trytond(f'sqlite:///{database}', user='admin', config_file=configuration)

from trytond.modules.account.tests.tools import (  # noqa: E402
    create_chart, create_fiscalyear, create_tax, get_accounts)
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences  # noqa: E402
from trytond.modules.company.tests.tools import create_company, get_company  # noqa: E402

CUSTOMERS = 30
PRODUCTS = 40
# Far enough that the data does not grow old.
BEGIN, END = datetime.date(2025, 1, 1), datetime.date(2044, 12, 31)


def one(model, **values):
    """The only record with these values."""
    found = Model.get(model).find([(name, '=', value) for name, value in values.items()])
    assert len(found) == 1, f'{model} {values}: {len(found)}'
    return found[0]


def make(model, **values):
    """A new record, saved."""
    record = Model.get(model)(**values)
    record.save()
    return record


# Company, chart of accounts, one long fiscal year.
Country = Model.get('country.country')
countries = {code: make('country.country', name=name, code=code, code3=code3)
    for name, code, code3 in [('Netherlands', 'NL', 'NLD'), ('Belgium', 'BE', 'BEL'), ('Germany', 'DE', 'DEU')]}
make('party.party', name='Voorbeeld Techniek B.V.')
create_company(party=one('party.party', name='Voorbeeld Techniek B.V.'), currency='EUR')
company = get_company()
session._context = Model.get('res.user').get_preferences(True, session.context)
create_chart(company)
accounts = get_accounts(company)
fiscal_year = set_fiscalyear_invoice_sequences(create_fiscalyear(company, (BEGIN, END)))
fiscal_year.name = 'Open'
period = fiscal_year.periods.new()
period.name, period.start_date, period.end_date = 'Open', fiscal_year.start_date, fiscal_year.end_date
fiscal_year.save()
tax = create_tax(Decimal('0.21'), company)
tax.save()


def term(name, days):
    record = Model.get('account.invoice.payment_term')(name=name)
    line = record.lines.new(type='remainder')
    if days:
        line.relativedeltas.new(days=days)
    record.save()
    return record


terms = [term('14 days', 14), term('30 days', 30), term('Prepayment', 0)]

# Units, categories, products.
unit, kilogram, millimeter, meter, litre = (
    one('product.uom', name=name) for name in ('Unit', 'Kilogram', 'Millimeter', 'Meter', 'Liter'))
box = make('product.uom', name='Box of 12', symbol='bx12', category=unit.category, factor=12.0, rate=round(1 / 12, 12),
    rounding=1.0, digits=0)
taxed = Model.get('product.category')(name='Goods 21%', accounting=True)
taxed.account_expense, taxed.account_revenue = accounts['expense'], accounts['revenue']
taxed.customer_taxes.append(tax)
taxed.save()
fittings = make('product.category', name='Fittings')
categories = [
    make('product.category', name='Elbows', parent=fittings),
    make('product.category', name='Valves', parent=fittings),
    make('product.category', name='Pipes'),
    make('product.category', name='Tools'),
]


def gtin(number):
    """A GTIN-13 with its check digit."""
    digits = f'871234{number:06d}'
    return digits + str(-sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits)) % 10)


Template, Category = Model.get('product.template'), Model.get('product.category')
templates = []
for n in range(PRODUCTS):
    category = categories[n % 4]
    base = meter if category.name == 'Pipes' else unit
    template = Template(name=f'{category.name[:-1]} {15 + n} mm', code=f'P{1001 + n}', type='goods', salable=True)
    template.default_uom = base
    template.sale_uom = box if n % 8 == 7 else base
    template.account_category = taxed
    # A record belongs to one list at a time.
    template.categories.append(Category(category.id))
    template.list_price = Decimal('10.0000') + Decimal(n) / 4
    template.weight, template.weight_uom = round(0.25 + n / 10, 2), kilogram
    template.length, template.length_uom = 30.0 + n, millimeter
    template.width, template.width_uom = 20.5, millimeter
    template.height, template.height_uom = 12.0, millimeter
    template.volume, template.volume_uom = 0.5 + n / 4, litre
    product, = template.products
    product.cost_price = Decimal('6.0000') + Decimal(n) / 8
    product.description = f'Brass, {15 + n} mm, for drinking water'
    product.identifiers.new(type='ean', code=gtin(n))
    # The last but one is not sold any more, the last is out of use.
    template.salable = n != PRODUCTS - 2
    templates.append(template)
Template.save(templates)
products = [template.products[0] for template in templates]
templates[-1].active = False
templates[-1].save()

# Price lists: the first line that matches decides, so larger quantities stand first.
Product = Model.get('product.product')


def price_list(name, lines):
    record = Model.get('product.price_list')(name=name, price='list_price', company=company)
    for sequence, values in enumerate(lines):
        # A line may be for a record that another line is for.
        for field, model in (('product', Product), ('category', Category)):
            if field in values:
                values[field] = model(values[field].id)
        record.lines.new(sequence=sequence, **values)
    record.save()
    return record


dealer = price_list('Dealer', [
    dict(product=products[0], quantity=100.0, formula='7.50'),
    dict(product=products[0], quantity=10.0, formula='8.25'),
    dict(product=products[0], formula='9.00'),
    dict(category=categories[1], quantity=50.0, formula='unit_price * 0.80'),
    dict(category=categories[1], formula='unit_price * 0.90'),
    dict(formula='unit_price * 0.95'),
])
contract = price_list('Contract 10002', [
    dict(product=product, formula=f'{Decimal("5.0000") + Decimal(n) / 10}',
        start_date=datetime.date(2026, 1, 1), end_date=datetime.date(2043, 12, 31))
    for n, product in enumerate(products[:20])
] + [
    dict(product=products[20], formula='1.0000', start_date=datetime.date(2025, 1, 1),
        end_date=datetime.date(2025, 12, 31)),
    dict(formula='unit_price'),
])

# Customers: number 10001 and up.
sequence, = Model.get('ir.sequence').find([('sequence_type.name', '=', 'Party')])
sequence.number_next = 10001
sequence.save()
Party = Model.get('party.party')
dutch, = Model.get('ir.lang').find([('code', '=', 'nl')])
TOWNS = [('NL', '1011 AB', 'Amsterdam'), ('NL', '3511 CD', 'Utrecht'), ('BE', '2000', 'Antwerpen'), ('DE', '50667', 'Köln')]
parties = []
for n in range(CUSTOMERS):
    code = 10001 + n
    party = Party(name=f'Installatiebedrijf {"Noord Oost Zuid West".split()[n % 4]} {n + 1:02d}')
    party.lang = dutch
    country, postal_code, city = TOWNS[n % 4]
    for at, (name, invoice, delivery) in enumerate(
            [('Kantoor', True, False), ('Magazijn', False, True), ('Filiaal', False, True)][:2 + (n % 3 == 0)]):
        address = party.addresses[0] if at == 0 and party.addresses else party.addresses.new()
        address.party_name, address.street_unstructured = name, f'Industrieweg {code - 10000}{" ab"[at].strip()}'
        address.postal_code, address.city, address.country = postal_code, city, countries[country]
        address.invoice, address.delivery = invoice, delivery
    party.contact_mechanisms.new(type='email', value=f'inkoop{code}@example.com', name='Inkoop')
    party.contact_mechanisms.new(type='phone', value=f'+3120123{code - 10000:04d}')
    party.contact_mechanisms.new(type='email', value=f'administratie{code}@example.com', name='Administratie')
    if n % 4 < 2:
        party.identifiers.new(type='eu_vat', code='NL004495445B01')
    party.customer_payment_term = terms[n % 3]
    if n == 1:
        party.sale_price_list = contract
    elif n < 20:
        party.sale_price_list = dealer
    # 10003 has used nearly all of its limit, 10004 may buy nothing on account, each fifth has no limit.
    if n == 2:
        party.credit_limit_amount = Decimal('1000.00')
    elif n == 3:
        party.credit_limit_amount = Decimal('0.00')
    elif n % 5 != 4:
        party.credit_limit_amount = Decimal('5000.00') * (n + 1)
    parties.append(party)
# One by one, so that numbers and order agree.
for party in parties:
    party.save()
assert [party.code for party in parties] == [str(10001 + n) for n in range(CUSTOMERS)]
# The last customer is out of use.
parties[-1].active = False
parties[-1].save()

# Contact persons of the first five: parties of their own, with a relation.
contact_of = make('party.relation.type', name='is contact of')
has_contact = make('party.relation.type', name='has contact', reverse=contact_of)
contact_of.reverse = has_contact
contact_of.save()
for party in parties[:5]:
    person = Party(name=f'Contact of {party.code}')
    person.contact_mechanisms.new(type='email', value=f'contact{party.code}@example.com')
    person.save()
    party.relations.new(type=has_contact, to=person)
    party.save()

# The article numbers that customer 10002 has for the first five products.
for n, product in enumerate(products[:5]):
    make('sale.product_customer', template=templates[n], product=product, party=parties[1], code=f'KL-{n + 1:03d}')

# Stock in two warehouses, and goods that are expected in the first.
Location = Model.get('stock.location')
main = one('stock.location', code='WH')
main.name, main.code = 'Main warehouse', 'MAIN'
main.save()
south, = main.duplicate(dict(name='Southern warehouse', code='SOUTH'))
for warehouse, factor in ((main, 7), (south, 2)):
    inventory = Model.get('stock.inventory')(location=warehouse.storage_location, date=datetime.date(2026, 1, 2))
    for n, product in enumerate(products[:-1]):
        inventory.lines.new(product=product, quantity=float(n * factor), expected_quantity=0.0)
    inventory.click('confirm')
supplier = make('party.party', name='Fabriek Voorbeeld')
shipment = Model.get('stock.shipment.in')(supplier=supplier, warehouse=main, planned_date=END)
for product in products[:3]:
    move = shipment.incoming_moves.new()
    move.from_location, move.to_location = shipment.supplier_location, main.input_location
    move.product, move.unit, move.quantity = product, product.default_uom, 50.0
    move.planned_date, move.unit_price, move.currency = END, product.cost_price, company.currency
shipment.save()

# An invoice that leaves customer 10003 a little of its limit, and one that 10001 has not paid in time. They are due
# in the past, of which the server warns.
session.skip_warning = True
for party, product, quantity, price in (
        (parties[2], products[5], 80.0, '10.0000'), (parties[0], products[6], 2.0, '50.0000')):
    invoice = Model.get('account.invoice')(type='out', party=party, payment_term=terms[1])
    invoice.invoice_date = datetime.date(2026, 1, 15)
    line = invoice.lines.new(product=product)
    line.quantity, line.unit_price = quantity, Decimal(price)
    invoice.click('post')

# The shop that makes (web_shop, web_id) of an order unique.
shop = Model.get('web.shop')(name='b2b', company=company, currency=company.currency)
shop.warehouses.append(main)
shop.save()

# The user that a bridge logs in as. Who is in the group `Account Credit Limit` is only warned of the limit.
user = Model.get('res.user')(name='Integration', login='integration', password='integration-Pw-2026')
user.companies.append(company)
user.company = company
GROUPS = ['Sales', 'Stock', 'Accounting', 'Party Administration', 'Product Administration']
for group in Model.get('res.group').find([('name', 'in', GROUPS)]):
    user.groups.append(group)
assert len(user.groups) == len(GROUPS)
user.save()
