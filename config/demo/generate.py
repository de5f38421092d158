#!/usr/bin/env python3
"""Writes the demo export of a Dutch technical wholesaler, as a mid-size ERP would.

    python3 generate.py                        the committed files, byte for byte
    python3 generate.py --scale 50 --out DIR   a set 50 times as large, elsewhere

The columns are described in README.md. Every company, person and number is made up: e-mail addresses end in
`.example`, telephone numbers have a subscriber number that nobody gets, and the GTINs come from the range that GS1 keeps
for use within one company.

Only `random.Random.random` is used of the generator of random numbers: it alone is the same in every Python version.
Each file draws from a source of its own, so a change in one leaves the others as they are.
"""

import argparse
import csv
import unicodedata
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random

TODAY = date(2026, 11, 24)
"""The day of the export. Fixed, so that the files do not depend on when they are made."""

LIST_YEARS = {2025: Decimal("0.96"), 2026: Decimal(1), 2027: Decimal("1.035")}
"""Price lists: last year's, the current one and the announced one, with their level."""


class Source:
    """Repeatable choices."""

    def __init__(self, name):
        self._random = Random(f"tradebridge-demo/{name}")

    def below(self, n):
        return int(self._random.random() * n)

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def chance(self, percent):
        return self._random.random() * 100 < percent

    def sample(self, items, n):
        """`n` different items, in the order drawn."""
        drawn = {}
        while len(drawn) < min(n, len(items)):
            drawn[self.below(len(items))] = None
        return [items[at] for at in drawn]

    def date(self, first, last):
        return first + timedelta(days=self.below((last - first).days + 1))


# How the ERP writes values.


def number(value, places=None):
    """Decimal comma, no thousands separator, minus behind the number."""
    value = Decimal(value)
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = f"{abs(value):f}".replace(".", ",")
    return text + "-" if value < 0 else text


def money(value, places=2):
    """Decimal comma, thousands separated by full stops, minus behind the number."""
    value = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = f"{abs(value):,.{places}f}".translate(str.maketrans(",.", ".,"))
    return text + "-" if value < 0 else text


def day(value):
    return value.strftime("%d-%m-%Y") if value else ""


def yes(value):
    return "J" if value else "N"


def write(path, header, rows):
    """One export file: windows-1252, semicolons, CRLF."""
    count = 0
    with open(path, "w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";", quotechar='"', lineterminator="\r\n")
        writer.writerow(header)
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"{path.name}: {len(row)} values for {len(header)} columns: {row}")
            writer.writerow(row)
            count += 1
    print(f"{path.name:28} {count:8} rows {path.stat().st_size:10} bytes")


# Numbers with check digits.


def gtin(sequence):
    """A GTIN-13 of the range for use within one company (prefix 29), with its check digit."""
    digits = f"29{sequence:010d}"
    total = sum(int(d) * (3 if at % 2 else 1) for at, d in enumerate(digits))
    return digits + str(-total % 10)


def vat_nl(source):
    """NL, nine digits that pass the test of eleven, B01."""
    while True:
        digits = [source.between(1, 8)] + [source.below(10) for _ in range(7)]
        check = sum(d * weight for d, weight in zip(digits, range(9, 1, -1))) % 11
        if check < 10:
            return "NL" + "".join(map(str, digits)) + f"{check}B01"


def vat_be(source):
    base = source.between(4_000_000, 7_999_999)
    return f"BE0{base}{97 - base % 97:02d}" if base % 97 else f"BE0{base}97"


def vat_de(source):
    digits = [source.between(1, 9)] + [source.below(10) for _ in range(7)]
    product = 10
    for digit in digits:
        total = (digit + product) % 10 or 10
        product = 2 * total % 11
    return "DE" + "".join(map(str, digits)) + str((11 - product) % 10)


# Products.

PRODUCT_GROUPS = ["FIT", "BUI", "AFS", "KAB", "INS", "BEV", "GER", "PBM", "LAS", "POM", "VRW"]

CLASSES = {
    "FIT": ("EC011010", "40172100"), "BUI": ("EC011007", "40171500"), "AFS": ("EC011345", "40141600"),
    "KAB": ("EC003248", "26121600"), "INS": ("EC000042", "39121600"), "BEV": ("EC000986", "31161600"),
    "GER": ("EC000146", "27111700"), "PBM": ("EC000215", "46181500"), "LAS": ("EC001764", "23271700"),
    "POM": ("EC010928", "40151500"), "VRW": ("EC011563", "40101800"),
}
BRANDS = {
    "FIT": "Hydrovex", "BUI": "Hydrovex", "AFS": "Kraanmeester", "KAB": "Volterna", "INS": "Volterna", "BEV": "Klemmar",
    "GER": "Toolaris", "PBM": "Beschütz", "LAS": "Ferrodin", "POM": "Pompadûr", "VRW": "Thermélan",
}


class Product:
    def __init__(self, number, group, name, name_en, price, *, unit="ST", size=(0, 0, 0), kg="0", pack=None,
                 attributes=(), variant=None, to_order=False, minimum=None, multiple=None, text="", per=1):
        self.number = number
        self.group = group
        self.name = name
        self.name_en = name_en
        self.price = Decimal(price) if price is not None else None
        self.unit = unit
        self.size = size
        self.kg = Decimal(kg)
        self.pack = pack
        self.attributes = attributes
        self.variant = variant
        self.to_order = to_order
        self.minimum = minimum
        self.multiple = multiple
        self.text = text
        self.per = per
        self.status = "A"
        self.replaced_by = ""
        self.sequence = 0

    @property
    def sold(self):
        """Masters of variants are not sold themselves."""
        return self.price is not None


def fittings():
    for size, factor in [(12, 8), (15, 10), (18, 13), (22, 18), (28, 30), (35, 62), (42, 95), (54, 160)]:
        f = Decimal(factor) / 10
        material = ("Materiaal", "koper", "")
        diameter = ("Diameter", str(size), "mm")
        pack = ("DS", 100 if size < 22 else 25 if size < 35 else 10)
        for angle in (45, 90):
            yield Product(f"KGL-{size}-{angle:03d}", "FIT", f"Knie {angle}° glad {size} mm", f"Elbow {angle}° {size} mm",
                          Decimal("0.94") * f, size=(2 * size + 6, size + 3, 2 * size + 6), kg=Decimal("0.018") * f,
                          pack=pack, attributes=[diameter, ("Hoek", str(angle), "°"), material])
            yield Product(f"PKN-{size}-{angle:03d}", "FIT", f"Persknie {angle}° {size} mm; V-profiel",
                          f"Press elbow {angle}° {size} mm, V profile", Decimal("3.42") * f,
                          size=(3 * size, size + 8, 3 * size), kg=Decimal("0.041") * f, pack=("DS", 10),
                          attributes=[diameter, ("Hoek", str(angle), "°"), material, ("Persprofiel", "V", "")])
        yield Product(f"TST-{size}", "FIT", f"T-stuk {size} mm", f"Tee {size} mm", Decimal("1.62") * f,
                      size=(3 * size, size + 3, 2 * size), kg=Decimal("0.029") * f, pack=pack, attributes=[diameter, material])
        yield Product(f"SOK-{size}", "FIT", f"Sok recht {size} mm", f"Coupler {size} mm", Decimal("0.58") * f,
                      size=(2 * size, size + 3, size + 3), kg=Decimal("0.011") * f, pack=pack, attributes=[diameter, material])
        yield Product(f"EKP-{size}", "FIT", f"Eindkap {size} mm", f"End cap {size} mm", Decimal("0.71") * f,
                      size=(size, size + 3, size + 3), kg=Decimal("0.006") * f, pack=pack, attributes=[diameter, material])
        yield Product(f"PTS-{size}", "FIT", f"Pers-T-stuk {size} mm; V-profiel", f"Press tee {size} mm, V profile",
                      Decimal("4.95") * f, size=(4 * size, size + 8, 3 * size), kg=Decimal("0.055") * f, pack=("DS", 10),
                      attributes=[diameter, material, ("Persprofiel", "V", "")])
        for length in (3, 5):
            yield Product(f"BUI-{size}-{length}", "BUI", f"Koperbuis {size} mm, lengte {length} m", f"Copper tube {size} mm, {length} m",
                          Decimal("5.15") * f, unit="M", size=(length * 1000, size, size), kg=Decimal("0.39") * f,
                          minimum=length, multiple=length, attributes=[diameter, ("Lengte", str(length), "m"), material])
    for big, small, price in [(15, 12, "0.88"), (18, 15, "1.12"), (22, 15, "1.64"), (22, 18, "1.71"), (28, 15, "2.93"),
                              (28, 22, "2.88"), (35, 22, "6.12"), (35, 28, "6.35"), (42, 28, "9.84"), (54, 35, "17.2")]:
        yield Product(f"VRL-{big}-{small}", "FIT", f"Verloopsok {big} × {small} mm", f"Reducer {big} × {small} mm", price,
                      size=(2 * big, big + 3, big + 3), kg=Decimal(price) / 70, pack=("DS", 50),
                      attributes=[("Diameter 1", str(big), "mm"), ("Diameter 2", str(small), "mm"), ("Materiaal", "koper", "")])


def valves():
    inches = [('3/8"', "038", 7), ('1/2"', "050", 10), ('3/4"', "075", 14), ('1"', "100", 22), ('1 1/4"', "125", 36),
              ('1 1/2"', "150", 52), ('2"', "200", 84)]
    for inch, code, factor in inches:
        f = Decimal(factor) / 10
        thread = ("Aansluiting", inch, "")
        for handle, letter in (("hendel", "H"), ("vlinder", "V")):
            yield Product(f"KKR-{code}{letter}", "AFS", f"Kogelkraan {inch} binnendraad, {handle}", f"Ball valve {inch} female thread",
                          Decimal("6.85") * f, size=(50 + factor, 28 + factor, 60 + factor), kg=Decimal("0.16") * f,
                          pack=("DS", 12), attributes=[thread, ("Bediening", handle, ""), ("Werkdruk", "25", "bar")])
        yield Product(f"TSK-{code}", "AFS", f"Terugslagklep {inch} messing", f"Check valve {inch} brass", Decimal("8.10") * f,
                      size=(48 + factor, 30 + factor, 30 + factor), kg=Decimal("0.14") * f, attributes=[thread, ("Openingsdruk", "0,035", "bar")])
    for inch, code, factor in inches[1:4]:
        for bar in (3, 6, 8):
            yield Product(f"VEI-{code}-{bar}", "AFS", f"Veiligheidsventiel {inch} {bar} bar", f"Safety valve {inch} {bar} bar",
                          Decimal("17.9") * factor / 10, size=(62, 40, 70), kg="0.31",
                          attributes=[("Aansluiting", inch, ""), ("Afblaasdruk", str(bar), "bar")],
                          text=f"Membraanveiligheidsventiel volgens NEN-EN 4126; \"ingesteld en verzegeld\" op {bar} bar.")
    for dn, price in [(50, "186"), (65, "232"), (80, "298.5"), (100, "412"), (125, "689"), (150, "946.4"), (200, "1784.75")]:
        yield Product(f"FLV-DN{dn}", "AFS", f"Vlinderklep DN{dn} tussenflens, Ø {dn} mm", f"Wafer butterfly valve DN{dn}", price,
                      size=(dn + 60, 46 + dn // 10, 2 * dn + 120), kg=Decimal(dn) / 14, to_order=dn >= 125,
                      attributes=[("Nominale diameter", f"DN{dn}", ""), ("Drukklasse", "PN16", ""), ("Temperatuur max.", "120", "°C")])


def cables():
    for cores in (2, 3, 4, 5):
        for section, factor in [("1,5", 10), ("2,5", 15), ("4", 24), ("6", 34), ("10", 58), ("16", 90)]:
            f = Decimal(factor * cores) / 30
            code = section.replace(",", "")
            attributes = [("Aantal aders", str(cores), ""), ("Doorsnede", section, "mm²"), ("Spanning", "0,6/1", "kV")]
            yield Product(f"XMVK-{cores}G{code}", "KAB", f"XMvK-kabel {cores}×{section} mm² Dca", f"XMvK cable {cores}×{section} mm²",
                          Decimal("1.18") * f, unit="M", size=(0, 8 + cores, 8 + cores), kg=Decimal("0.12") * f,
                          pack=("RL", 100), attributes=attributes, per=100, multiple=1)
            yield Product(f"YMVK-{cores}G{code}-AS", "KAB", f"YMvK-as grondkabel {cores}×{section} mm²", f"YMvK-as armoured cable {cores}×{section} mm²",
                          Decimal("2.34") * f, unit="M", size=(0, 12 + cores, 12 + cores), kg=Decimal("0.21") * f,
                          pack=("RL", 500), attributes=attributes, per=100, multiple=1, minimum=10)
    colours = [("bruin", "BR", "brown"), ("blauw", "BL", "blue"), ("zwart", "ZW", "black"), ("groen/geel", "GG", "green/yellow")]
    for section, code, price in [("1,5", "15", "0.21"), ("2,5", "25", "0.34"), ("4", "40", "0.55"), ("6", "60", "0.81")]:
        master = f"VD-{code}"
        yield Product(master, "KAB", f"VD-installatiedraad {section} mm²", f"Installation wire {section} mm²", None, unit="M",
                      attributes=[("Doorsnede", section, "mm²")])
        for colour, letters, english in colours:
            yield Product(f"VD-{code}-{letters}", "KAB", f"VD-installatiedraad {section} mm² {colour}", f"Installation wire {section} mm² {english}",
                          price, unit="M", size=(0, 4, 4), kg=Decimal(price) / 12, pack=("RL", 100), variant=(master, "Kleur", colour),
                          attributes=[("Doorsnede", section, "mm²"), ("Kleur", colour, "")], per=100, multiple=100, minimum=100)
    for category, price in [("CAT6", "0.62"), ("CAT6A", "0.94"), ("CAT7", "1.36")]:
        for shield in ("UTP", "S/FTP"):
            yield Product(f"{category}-{shield.replace('/', '')}", "KAB", f"Datakabel {category} {shield} 4×2×AWG23", f"Data cable {category} {shield}",
                          price, unit="M", size=(0, 7, 7), kg="0.052", pack=("RL", 305), per=100,
                          attributes=[("Categorie", category, ""), ("Afscherming", shield, ""), ("Impedantie", "100", "ohm")])


def installation():
    for curve in "BC":
        for ampere in (6, 10, 16, 20, 25, 32):
            for poles, price in ((1, "11.85"), (3, "38.6")):
                yield Product(f"MCB-{poles}{curve}{ampere}", "INS", f"Installatieautomaat {poles}P {curve}{ampere}", f"Circuit breaker {poles}P {curve}{ampere}",
                              Decimal(price) + Decimal(ampere) / 10, size=(71, 18 * poles, 85), kg=Decimal("0.125") * poles, pack=("DS", 12 // poles),
                              attributes=[("Nominale stroom", str(ampere), "A"), ("Karakteristiek", curve, ""), ("Aantal polen", str(poles), "")])
    for ampere in (25, 40, 63, 80):
        for poles, price in ((2, "42.3"), (4, "68.75")):
            yield Product(f"ALS-{poles}P{ampere}-30", "INS", f"Aardlekschakelaar {poles}P {ampere} A 30 mA", f"RCD {poles}P {ampere} A 30 mA",
                          Decimal(price) * (100 + ampere) / 125, size=(71, 18 * poles, 85), kg=Decimal("0.11") * poles,
                          attributes=[("Nominale stroom", str(ampere), "A"), ("Aanspreekstroom", "30", "mA"), ("Aantal polen", str(poles), "")])
    for thing, english, code, price in [("Wandcontactdoos", "Socket outlet", "WCD", "6.15"), ("Wipschakelaar", "Rocker switch", "WIP", "5.4"),
                                        ("Wisselschakelaar", "Two-way switch", "WIS", "5.95"), ("Dimmer LED 3-100 W", "LED dimmer 3-100 W", "DIM", "48.2")]:
        master = f"{code}-55"
        yield Product(master, "INS", f"{thing} inbouw, serie 55", f"{english}, flush, series 55", None)
        for colour, letters, english_colour in [("crème", "CR", "cream"), ("wit", "WI", "white"), ("antraciet", "AN", "anthracite"), ("zwart mat", "ZM", "matt black")]:
            yield Product(f"{master}-{letters}", "INS", f"{thing} inbouw {colour}", f"{english}, flush, {english_colour}", price,
                          size=(55, 55, 38), kg="0.062", pack=("DS", 10), variant=(master, "Kleur", colour), attributes=[("Kleur", colour, ""), ("Beschermingsgraad", "IP20", "")])
    for wires in (2, 3, 5):
        yield Product(f"LSK-{wires}", "INS", f"Lasklem {wires}-voudig 0,2–4 mm²", f"Splicing connector {wires} way", Decimal("0.19") + Decimal(wires) / 50,
                      size=(20, 6 * wires, 8), kg=Decimal("0.001") * wires, pack=("DS", 100), multiple=10, minimum=10, per=100,
                      attributes=[("Aantal aders", str(wires), ""), ("Stroom max.", "32", "A")])
    for wide, high, price in [(60, 40, "5.2"), (60, 60, "6.9"), (100, 60, "9.45"), (150, 60, "13.8"), (200, 60, "17.6")]:
        yield Product(f"KGT-{wide}x{high}", "INS", f"Kabelgoot {wide}×{high} mm, l = 3 m", f"Cable tray {wide}×{high} mm, 3 m", price, unit="M",
                      size=(3000, wide, high), kg=Decimal(wide) / 60, minimum=3, multiple=3, attributes=[("Breedte", str(wide), "mm"), ("Oppervlak", "sendzimir verzinkt", "")])
    yield Product("1E3", "INS", "Weerstand 1 kOhm ±5 %", "Resistor 1 kOhm ±5 %", "0.14", size=(9, 3, 3), kg="0.0004",
                  pack=("DS", 1000), minimum=100, multiple=100, per=1000, attributes=[("Weerstand", "1000", "ohm"), ("Vermogen", "0,5", "W")])


def fasteners():
    serial = 1000
    for thread, f in [("M5", 3), ("M6", 5), ("M8", 9), ("M10", 16), ("M12", 25), ("M16", 52), ("M20", 96)]:
        width = int(thread[1:])
        for length in (20, 30, 40, 50, 60, 80, 100):
            serial += 10
            yield Product(f"{serial:07d}", "BEV", f"Zeskantbout DIN 933 {thread}×{length} 8.8 verzinkt", f"Hexagon bolt DIN 933 {thread}×{length} 8.8 zinc plated",
                          Decimal(f) * (20 + length) / 2500 + Decimal("0.01"), size=(length, 2 * width, 2 * width), kg=Decimal(f * length) / 40000,
                          pack=("DS", 200 if width < 10 else 50), per=100, minimum=10 if width < 12 else None, multiple=10 if width < 12 else None,
                          attributes=[("Draad", thread, ""), ("Lengte", str(length), "mm"), ("Sterkteklasse", "8.8", ""), ("Norm", "DIN 933", "")])
        for norm, thing, english, price in [("DIN 934", "Zeskantmoer", "Hexagon nut", "0.006"), ("DIN 985", "Borgmoer", "Lock nut", "0.011"),
                                            ("DIN 125", "Sluitring", "Washer", "0.003"), ("DIN 127", "Veerring", "Spring washer", "0.004")]:
            serial += 10
            yield Product(f"{serial:07d}", "BEV", f"{thing} {norm} {thread} verzinkt", f"{english} {norm} {thread} zinc plated", Decimal(price) * f + Decimal("0.004"),
                          size=(2 * width, 2 * width, width), kg=Decimal(f) / 2400, pack=("DS", 500 if width < 10 else 100), per=1000,
                          minimum=100, multiple=100, attributes=[("Draad", thread, ""), ("Norm", norm, "")])
    for diameter in ("3,5", "4", "5", "6"):
        for length in (25, 40, 60, 80, 120):
            serial += 10
            d = Decimal(diameter.replace(",", "."))
            yield Product(f"{serial:07d}", "BEV", f"Spaanplaatschroef {diameter}×{length} platkop; Torx", f"Chipboard screw {diameter}×{length} countersunk, Torx",
                          d * length / 6000 + Decimal("0.008"), size=(length, int(2 * d), int(2 * d)), kg=d * length / 80000, pack=("DS", 200), per=1000,
                          minimum=200, multiple=200, attributes=[("Diameter", diameter, "mm"), ("Lengte", str(length), "mm"), ("Aandrijving", "Torx", "")])
    for size in (6, 8, 10, 12, 14):
        serial += 10
        yield Product(f"{serial:07d}", "BEV", f"Nylon plug {size} mm", f"Nylon wall plug {size} mm", Decimal(size * size) / 1600, size=(size * 5, size, size),
                      kg=Decimal(size) / 5000, pack=("DS", 100), per=100, minimum=100, multiple=100, attributes=[("Diameter", str(size), "mm")])


def tools():
    for width in (8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 24, 27, 30, 32):
        yield Product(f"SRS-{width:02d}", "GER", f"Steekringsleutel {width} mm", f"Combination spanner {width} mm", Decimal(width * width) / 28 + 3,
                      size=(width * 12, width * 2, width // 2), kg=Decimal(width * width) / 2500, attributes=[("Sleutelwijdte", str(width), "mm"), ("Materiaal", "CrV", "")])
    for inch, code, price in [('1/4"', "14", "89.5"), ('3/8"', "38", "124"), ('1/2"', "12", "162.8"), ('3/4"', "34", "418")]:
        yield Product(f"DOP-{code}", "GER", f'Doppenset {inch}; 46-delig, "Pro"', f"Socket set {inch}, 46 pieces", price, size=(380, 270, 80), kg="4.6",
                      attributes=[("Aandrijving", inch, ""), ("Aantal delen", "46", "")], text=f"In koffer; aandrijving {inch}, ratel met 72 tanden. Merk \"Pro\".")
    for kind, english, code in [("Sleuf", "Slotted", "SL"), ("Phillips", "Phillips", "PH"), ("Pozidriv", "Pozidriv", "PZ"), ("Torx", "Torx", "TX")]:
        for size in (1, 2, 3):
            yield Product(f"SD-{code}{size}", "GER", f"Schroevendraaier {kind} {size} VDE", f"Screwdriver {english} {size} VDE", Decimal("5.4") + size,
                          size=(190 + 20 * size, 32, 32), kg="0.09", attributes=[("Type", kind, ""), ("Maat", str(size), ""), ("Isolatie", "1000", "V")])
    for thing, english, code, price in [("Waterpomptang", "Water pump pliers", "WPT", "24.6"), ("Zijkniptang", "Side cutters", "ZKT", "21.3"),
                                        ("Striptang", "Wire stripper", "STT", "28.9"), ("Perstang adereindhulzen", "Crimping pliers", "PTA", "46.5")]:
        for length in (160, 180, 250):
            yield Product(f"{code}-{length}", "GER", f"{thing} {length} mm", f"{english} {length} mm", Decimal(price) * length / 180, size=(length, 55, 22),
                          kg=Decimal(length) / 650, attributes=[("Lengte", str(length), "mm")])
    for tenths in list(range(10, 65, 5)) + [70, 80, 90, 100, 120]:
        diameter = number(Decimal(tenths) / 10)
        yield Product(f"HSS-{tenths:03d}", "GER", f"Spiraalboor HSS-G Ø {diameter} mm", f"Twist drill HSS-G Ø {diameter} mm", Decimal("1.1") + Decimal(tenths * tenths) / 1800,
                      size=(40 + tenths, tenths // 10 + 1, tenths // 10 + 1), kg=Decimal(tenths) / 3000, pack=("DS", 10), attributes=[("Diameter", diameter, "mm"), ("Norm", "DIN 338", "")])
    for name, english, code, price in [("Accuschroefmachine 18 V; 2× 5,0 Ah", "Cordless drill 18 V", "ASM-18", "329"), ("Klopboormachine 850 W", "Impact drill 850 W", "KBM-850", "148.9"),
                                       ("Haakse slijper Ø 125 mm", "Angle grinder 125 mm", "HSL-125", "116.4"), ("Persmachine 32 kN", "Press tool 32 kN", "PRM-32", "1486"),
                                       ("Lasapparaat MIG 200 A", "MIG welder 200 A", "MIG-200", "1249.5"), ("Rioolinspectiecamera 30 m", "Drain camera 30 m", "RIC-30", "2875"),
                                       ("Multimeter True RMS CAT III", "Multimeter True RMS CAT III", "MMT-T3", "189.75"), ("Kruislijnlaser groen", "Cross line laser green", "KLL-G", "412.2")]:
        yield Product(code, "GER", name, english, price, size=(420, 330, 160), kg=Decimal(price) / 120, text=f"{name} – geleverd in koffer. Prijs in € excl. btw; garantie 2 jaar.")


def protection():
    for model, name, english, price, sizes in [
        ("HDS-NIT", "Handschoen nitril", "Glove nitrile", "3.15", range(7, 12)), ("HDS-LED", "Handschoen rundleer", "Glove leather", "6.8", range(8, 12)),
        ("HDS-SNY", "Handschoen snijklasse C", "Glove cut level C", "8.45", range(7, 12)), ("SCH-S3L", "Veiligheidsschoen S3 laag", "Safety shoe S3 low", "78.5", range(38, 48)),
        ("SCH-S3H", "Veiligheidsschoen S3 hoog", "Safety boot S3", "92.9", range(39, 48)),
    ]:
        yield Product(model, "PBM", name, english, None)
        for size in sizes:
            yield Product(f"{model}-{size:02d}", "PBM", f"{name} maat {size}", f"{english} size {size}", price, size=(260, 120, 20), kg=Decimal(price) / 60,
                          pack=("DS", 12) if model.startswith("HDS") else None, variant=(model, "Maat", str(size)), attributes=[("Maat", str(size), ""), ("Norm", "EN 388" if model.startswith("HDS") else "EN ISO 20345", "")])
    for colour, letters in [("wit", "WI"), ("geel", "GE"), ("blauw", "BL"), ("rood", "RO")]:
        yield Product(f"HLM-{letters}", "PBM", f"Veiligheidshelm {colour}; met draaiknop", f"Safety helmet {letters}", "14.35", size=(280, 220, 150), kg="0.36", attributes=[("Kleur", colour, ""), ("Norm", "EN 397", "")])


def welding():
    for diameter, price in [("0,8", "4.9"), ("1,0", "4.55"), ("1,2", "4.4")]:
        yield Product(f"LDR-{diameter.replace(',', '')}", "LAS", f"Lasdraad SG2 Ø {diameter} mm", f"Welding wire SG2 {diameter} mm", price, unit="KG", size=(0, 0, 0), kg="1",
                      pack=("RL", 15), multiple=15, minimum=15, attributes=[("Diameter", diameter, "mm"), ("Kwaliteit", "SG2", "")])
    for diameter, price in [("2,5", "7.2"), ("3,2", "6.75"), ("4,0", "6.6")]:
        yield Product(f"ELE-{diameter.replace(',', '')}", "LAS", f"Laselektrode rutiel Ø {diameter} mm", f"Rutile electrode {diameter} mm", price, unit="KG", kg="1", pack=("DS", 5),
                      minimum=Decimal("2.5"), multiple=Decimal("2.5"), attributes=[("Diameter", diameter, "mm")])
    for tin, price in [("60/40", "39.5"), ("Sn97Cu3", "46.8"), ("Sn96Ag4", "88.25")]:
        yield Product(f"SOL-{tin.replace('/', '')}", "LAS", f"Soldeertin {tin} Ø 2 mm", f"Solder {tin} 2 mm", price, unit="KG", kg="1", pack=("RL", Decimal("0.5")),
                      minimum=Decimal("0.25"), multiple=Decimal("0.25"), attributes=[("Legering", tin, ""), ("Diameter", "2", "mm")])


def heating():
    for dn, head, price in [(25, 40, "184"), (25, 60, "212.5"), (25, 80, "268"), (32, 60, "294.75"), (32, 80, "348"), (40, 80, "612"), (40, 120, "895.4"),
                            (50, 90, "1185"), (50, 120, "1422.6"), (65, 120, "1968.25"), (80, 120, "2740"), (100, 120, "3385.5")]:
        yield Product(f"CP-{dn}-{head}", "POM", f"Circulatiepomp {dn}-{head} A-label", f"Circulator {dn}-{head}", price, size=(180 + dn, 130 + dn, 150 + dn), kg=Decimal(dn) / 10, to_order=dn >= 65,
                      attributes=[("Aansluiting", f"DN{dn}", ""), ("Opvoerhoogte", number(Decimal(head) / 10, 1), "m"), ("EEI", "max. 0,20", "")],
                      text=f"Energiezuinige natloper; opvoerhoogte {number(Decimal(head) / 10, 1)} m, geschikt voor -10 tot 110 °C.")
    for kind, factor in (("11", 10), ("22", 17), ("33", 25)):
        for high in (400, 600, 900):
            for length in (600, 1000, 1400, 2000):
                price = Decimal(factor * (high + 500) * length) / 170000
                yield Product(f"RAD-{kind}-{high}-{length}", "VRW", f"Paneelradiator type {kind} {high}×{length} mm", f"Panel radiator type {kind} {high}×{length} mm", price,
                              size=(length, 60 + factor * 4, high), kg=Decimal(factor * high * length) / 420000, to_order=high == 900 and length > 1000,
                              attributes=[("Type", kind, ""), ("Vermogen 75/65/20", str(factor * high * length // 4200), "W"), ("Kleur", "RAL 9016", ""), ("Aansluitingen", '6 × 1/2"', "")])


SHOWN = ["KGL-15-090", "TST-22"]
"""The products that the documentation walks through: sold, in stock, under contract."""


def make_products(scale):
    families = [fittings, valves, cables, installation, fasteners, tools, protection, welding, heating]
    products = []
    for series in range(scale):
        suffix = f"/{series + 1}" if series else ""
        for family in families:
            for product in family():
                if suffix:
                    product.number += suffix
                    if product.variant:
                        product.variant = (product.variant[0] + suffix, *product.variant[1:])
                product.sequence = len(products) + 1
                products.append(product)
    source = Source("products/status")
    for at, product in enumerate(products):
        if product.price is not None:
            product.price = max(product.price.quantize(Decimal("0.0001"), ROUND_HALF_UP), Decimal("0.0050"))
        if not product.sold or product.variant or product.number in SHOWN:
            continue
        if source.chance(6):
            product.status = source.pick("UUV")
            near = products[max(0, at - 10):at] + products[at + 1:at + 10]
            heirs = [p for p in near if p.sold and p.number.split("-")[0][:4] == product.number.split("-")[0][:4]]
            if heirs and source.chance(75):
                product.replaced_by = source.pick(heirs).number
    # What is replaced points to something that is sold.
    gone = {p.number for p in products if p.status != "A"}
    for product in products:
        if product.replaced_by in gone:
            product.replaced_by = ""
    return products


ARTICLE_COLUMNS = [
    "Artikelnummer", "Omschrijving", "Omschrijving EN", "Lange omschrijving", "Eenheid", "Artikelgroep", "BTW-code", "GTIN", "Merk", "Fabrikantnummer",
    "Lengte mm", "Breedte mm", "Hoogte mm", "Gewicht", "Gewichtseenheid", "ETIM", "UNSPSC", "Minimale afname", "Ordermeervoud",
    "Verpakkingseenheid", "Aantal per verpakking", "Op bestelling", "Levertijd", "Status", "Vervangen door", "Variant van", "Variantkenmerk", "Variantwaarde",
    "Document", "Kenmerk1", "Waarde1", "Eenheid1", "Kenmerk2", "Waarde2", "Eenheid2", "Kenmerk3", "Waarde3", "Eenheid3", "Kenmerk4", "Waarde4", "Eenheid4",
]


def article_rows(products):
    source = Source("articles")
    for product in products:
        etim, unspsc = CLASSES[product.group]
        grams = product.kg * 1000
        if product.kg >= 1:
            weight, weight_unit = number(product.kg, 3), "kg"
        elif grams > 0:
            weight, weight_unit = number(max(grams, Decimal("0.1")), 1), "g"
        else:
            weight, weight_unit = "", ""
        attributes = [value for triple in product.attributes for value in triple]
        document = ""
        if source.chance(45):
            name = product.number.lower().replace("/", "-")
            document = f"https://docs.groothandel.example/{product.group.lower()}/{name}.pdf"
        lead = source.between(15, 40) if product.to_order else source.between(1, 10)
        yield [
            product.number, product.name, product.name_en, product.text, product.unit, product.group,
            "L" if product.group == "PBM" and product.number.startswith("HLM") else "H",
            gtin(product.sequence) if product.sold else "", BRANDS[product.group],
            f"{BRANDS[product.group][:3].upper()}{700000 + product.sequence}" if product.sold and source.chance(70) else "",
            *[number(mm) if mm else "" for mm in product.size], weight, weight_unit,
            etim, unspsc, number(product.minimum) if product.minimum else "", number(product.multiple) if product.multiple else "",
            product.pack[0] if product.pack else "", number(product.pack[1]) if product.pack else "",
            yes(product.to_order), lead if product.sold else "", product.status, product.replaced_by,
            *(product.variant or ("", "", "")), document, *attributes, *[""] * (12 - len(attributes)),
        ]


# Customers.

SURNAMES = ["'t Hart", "Bédoin", "Çelik", "Müller", "Van der Meer", "De Vries", "Jansen", "Groenveld", "Yilmaz", "Van 't Hoff", "Ter Braak", "Núñez", "Visser",
            "Bakker", "Smit", "De Boer", "Mulder", "Dekker", "Dijkstra", "Kuipers", "Hoekstra", "Van Leeuwen", "Schouten", "Verhoeven", "Wagenaar", "Postma", "D'Hondt",
            "Öztürk", "Lefèvre", "Schröder", "Van den Broek", "Molenaar", "Coenen", "Hermans", "Aerts", "Weiß", "Østergaard", "Šimunek", "Brouwer", "Nijhuis"]
FIRST_NAMES = ["Anouk", "Bram", "Cem", "Daniëlle", "Esmée", "Frédérique", "Gijs", "Hülya", "Ivo", "Joëlle", "Koen", "Loïs", "Maarten", "Noor", "Özlem", "Pieter", "René", "Sjoerd",
               "Tänia", "Willem", "Zoë", "André", "Beatrijs", "Chloé"]
CITIES_NL = [("Utrecht", "3521"), ("Rotterdam", "3024"), ("Eindhoven", "5611"), ("'s-Hertogenbosch", "5211"), ("Groningen", "9711"), ("Zwolle", "8011"), ("Goes", "4461"), ("Súdwest-Fryslân", "8601"),
             ("Tilburg", "5017"), ("Enschede", "7511"), ("Almere", "1315"), ("Leiden", "2312"), ("Venlo", "5911"), ("Hoorn", "1621"), ("Deventer", "7411"), ("Bergen op Zoom", "4611")]
CITIES_BE = [("Antwerpen", "2000"), ("Liège", "4000"), ("Gent", "9000"), ("Geraardsbergen", "9500")]
CITIES_DE = [("Köln", "50667"), ("Münster", "48143"), ("Kleve", "47533"), ("Mönchengladbach", "41061")]
CITIES_GB = [("Norwich", "NR1 3JU"), ("Leeds", "LS1 4DY")]
CITIES_US = [("Holland, MI", "49423"), ("Pella, IA", "50219")]
STREETS = ["Industrieweg", "Ambachtsstraat", "Koningin Julianalaan", "Gelderlandhaven", "Edisonstraat", "Nijverheidsplein", "Burg. Röellstraat", "'t Zand", "Van 't Hoffweg", "Kanaaldijk-Zuid", "Handelskade", "Curaçaolaan"]

CUSTOMER_GROUPS = ["INSTAL", "BOUW", "INDUSTRIE", "OVERHEID", "DOORVERKOOP", "ONDERHOUD"]
PRICE_GROUPS = ["PG1", "PG2", "PG3", "PG4"]
TERMS = [("30", "30 dagen netto", 30), ("14", "14 dagen netto", 14), ("30E", "30 dagen einde maand", 30), ("60", "60 dagen netto", 60), ("08", "8 dagen 2 % korting", 8), ("00", "Vooruitbetaling", 0)]
REPRESENTATIVES = [("V01", "Marloes Wagenaar"), ("V02", "Jérôme Lefèvre"), ("V03", "Jan-Willem Ter Braak"), ("V04", "Gülay Çelik"), ("V05", "Bärbel Schröder")]
NAMES = {
    "INSTAL": ["Installatiebedrijf {}", "{} Installatietechniek", "Loodgietersbedrijf {}", "{} & Zn. Elektrotechniek"],
    "BOUW": ["Bouwbedrijf {}", "{} Bouw & Onderhoud", "Aannemersbedrijf Gebr. {}", "{} Renovatie; verbouw en nieuwbouw"],
    "INDUSTRIE": ["Machinefabriek {}", "{} Metaalbewerking", "{} Process Équipement", "Zuivelfabriek \"{}\""],
    "OVERHEID": ["Gemeente {city}", "Waterschap {city}", "ROC {city}", "Ziekenhuis \"Sint {}\" {city}"],
    "DOORVERKOOP": ["{} Technische Handel", "IJzerwaren {}", "{} Groothandel – {city}", "Bouwmarkt {}"],
    "ONDERHOUD": ["Vastgoedbeheer {}", "{} Facilitair", "Café-Restaurant {}", "Stichting Woonbeheer {city}"],
}


class Customer:
    pass


def make_customers(scale):
    source = Source("customers")
    customers = []
    used = set()
    parents = {}
    for at in range(240 * scale):
        c = Customer()
        c.number = str(10000 + at)
        c.group = CUSTOMER_GROUPS[0] if at == 0 else source.pick(CUSTOMER_GROUPS)
        c.country = "NL" if at == 0 else source.pick(["NL"] * 17 + ["BE"] * 2 + ["DE"])
        c.currency, c.language, c.tax = "EUR", "nl", "BINNENLAND"
        if at % 60 == 41:
            c.country, c.currency, c.language, c.group = "GB", "GBP", "en", "DOORVERKOOP"
        elif at % 60 == 53:
            c.country, c.currency, c.language, c.group = "US", "USD", "en", "INDUSTRIE"
        if c.country != "NL" and c.group == "OVERHEID":
            c.group = "INDUSTRIE"
        c.city, c.postcode = source.pick({"NL": CITIES_NL, "BE": CITIES_BE, "DE": CITIES_DE, "GB": CITIES_GB, "US": CITIES_US}[c.country])
        c.vat, c.kvk = "", ""
        if c.country == "NL":
            c.vat, c.kvk = vat_nl(source), str(source.between(10_000_000, 89_999_999))
        elif c.country == "BE":
            c.vat, c.tax, c.language = vat_be(source), "EU", "fr" if c.city == "Liège" else "nl"
        elif c.country == "DE":
            c.vat, c.tax, c.language = vat_de(source), "EU", "de"
        else:
            c.tax = "EXPORT"
        c.surname = SURNAMES[0] if at == 0 else SURNAMES[at] if at < len(SURNAMES) else source.pick(SURNAMES)
        pattern = NAMES[c.group][0] if at == 0 else source.pick(NAMES[c.group])
        name = pattern.format(c.surname, city=c.city)
        if name in used:
            name = f"{name} {c.city}" if f"{name} {c.city}" not in used else f"{name} {c.number}"
        used.add(name)
        c.name = name
        form = {"NL": source.pick(["B.V.", "B.V.", "B.V.", "V.O.F."]), "BE": "BV", "DE": "GmbH", "GB": "Ltd", "US": "Inc."}[c.country]
        c.legal = name if c.group == "OVERHEID" else f"{name} {form}"
        c.parent = c.bill_to = c.payer = ""
        if at > 12 and at % 9 == 4:
            # Within one currency, so that the concern can be billed for it.
            heads = parents.get((c.country, c.currency), [])
            if heads:
                c.parent = source.pick(heads).number
                c.bill_to = c.parent if source.chance(70) else ""
                c.payer = c.parent if source.chance(60) else ""
        c.channel = "BALIE" if at % 20 == 11 else "WEBSHOP" if at % 60 == 37 or at % 60 == 57 else "B2B"
        c.price_group = PRICE_GROUPS[0] if at == 0 else source.pick(PRICE_GROUPS) if source.chance(85) else ""
        c.terms = TERMS[0] if at == 0 else TERMS[5] if c.channel != "B2B" else source.pick(TERMS[:5])
        c.blocked = "" if at < 5 else source.pick([""] * 28 + ["O", "A"])
        c.representative = source.pick(REPRESENTATIVES)
        c.assortment = source.pick(["", "", "COMPLEET", "INSTALLATIE", "ELEKTRA", "BOUW"])
        c.domain = f"klant{c.number}.example"
        if not c.parent and at % 9 == 0:
            parents.setdefault((c.country, c.currency), []).append(c)
        customers.append(c)
    return customers


CUSTOMER_COLUMNS = [
    "Klantnummer", "Naam", "Statutaire naam", "BTW-nummer", "KvK-nummer", "Concern", "Factuurklant", "Betaler", "Klantgroep", "Kanaal", "Prijsgroep", "Valuta", "Taal", "BTW-status",
    "Betalingsconditie", "Omschrijving conditie", "Betaaltermijn", "Geblokkeerd", "Vertegenwoordiger", "Naam vertegenwoordiger", "Assortiment",
]


def customer_rows(customers):
    for c in customers:
        yield [c.number, c.name, c.legal, c.vat, c.kvk, c.parent, c.bill_to, c.payer, c.group, c.channel, c.price_group, c.currency, c.language.upper(), c.tax,
               *c.terms, c.blocked, *c.representative, c.assortment]


ADDRESS_COLUMNS = ["Adresnummer", "Klantnummer", "Soort", "Naam", "Straat", "Huisnummer", "Postcode", "Plaats", "Land"]


def address_rows(customers):
    source = Source("addresses")
    serial = 50000

    def row(c, kinds, name):
        nonlocal serial
        serial += 1
        postcode = c.postcode
        if c.country == "NL":
            letters = "ABCDEGHJKLMNPRSTVWXZ"
            postcode = f"{postcode} {letters[source.below(len(letters))]}{letters[source.below(len(letters))]}"
        house = f"{source.between(1, 240)}{source.pick(['', '', '', ' A', ' bis', '-3'])}"
        return [serial, c.number, kinds, name, source.pick(STREETS), house, postcode, c.city, c.country]

    for c in customers:
        shape = source.below(3)
        if shape == 0:
            yield row(c, "F,A,B", c.name)
        elif shape == 1:
            yield row(c, "F,B", c.name)
            yield row(c, "A", f"{c.name}, magazijn")
        else:
            yield row(c, "F", f"{c.legal}; t.a.v. crediteurenadministratie")
            yield row(c, "B", c.name)
            for at in range(source.between(1, 3)):
                yield row(c, "A", source.pick([f"Werk {at + 1}: \"{c.city}-Noord\"", f"Project {2600 + source.below(400)}", "Bouwplaats; poort 3", f"{c.name} – filiaal {at + 1}"]))


CONTACT_COLUMNS = ["Contactnummer", "Klantnummer", "Naam", "E-mail", "Telefoon", "Functie", "Taal", "Goedkeuringslimiet", "Valuta", "Actief"]


def contact_rows(customers):
    source = Source("contacts")
    serial = 80000
    for c in customers:
        roles = ["Inkoper"]
        roles += [role for role, percent in [("Goedkeurder", 45), ("Financiën", 35), ("Directie", 30), ("Inkoper", 25), ("Magazijn", 15)] if source.chance(percent)]
        if c.number == "10000":
            roles = ["Inkoper", "Goedkeurder", "Financiën"]
        for role in roles:
            serial += 1
            first, last = source.pick(FIRST_NAMES), c.surname if role == "Directie" else source.pick(SURNAMES)
            plain = unicodedata.normalize("NFKD", f"{first}.{last}".lower().replace("ß", "ss").replace("ø", "o"))
            box = "".join(ch for ch in plain if ch.isascii() and (ch.isalnum() or ch == "."))
            limit = ""
            if role == "Goedkeurder":
                limit = money(source.pick([1000, 2500, 5000, 10000, 25000]))
            elif role == "Inkoper" and source.chance(60):
                limit = money(source.pick([250, 500, 750, 1500]))
            code = {"NL": "+31 30", "BE": "+32 3", "DE": "+49 221", "GB": "+44 1603", "US": "+1 616"}[c.country]
            phone = f"{code} 000 {source.below(10000):04d}" if source.chance(80) else ""
            yield [serial, c.number, f"{first} {last[0].lower() + last[1:] if last.startswith(('Van ', 'De ', 'Ter ')) else last}", f"{box}@{c.domain}", phone, role, c.language.upper(),
                   limit, c.currency if limit else "", yes(role == "Inkoper" or not source.chance(6))]


CUSTOMER_ARTICLE_COLUMNS = ["Regelnr", "Klantnummer", "Artikelnummer", "Klantartikelnummer", "Omschrijving klant"]


def customer_article_rows(customers, products, scale):
    source = Source("customer articles")
    sellable = [p for p in products if p.sold and p.status != "V"]
    for at, code in enumerate(SHOWN):
        yield [700001 + at, customers[0].number, code, f"HART-{at + 1:04d}", ""]
    serial = len(SHOWN)
    for c in source.sample(customers[1:], 60 * scale):
        style = source.below(3)
        for at, product in enumerate(source.sample(sellable, source.between(4, 9))):
            serial += 1
            theirs = [f"{source.between(100, 999)}.{source.between(10, 99)}.{at:03d}", f"{source.between(0, 99999):08d}", f"MAG-{product.group}-{source.between(1, 99999)}"][style]
            text = product.name.upper() if source.chance(40) else ""
            yield [700000 + serial, c.number, product.number, theirs, text]


# Prices.

PRICE_COLUMNS = ["Regelnr", "Afspraaknr", "Soort klant", "Klantcode", "Soort artikel", "Artikelcode", "Soort afspraak", "Waarde", "Valuta", "Eenheid", "Prijs per",
                 "Vanaf aantal", "Staffelsoort", "Minimumbedrag", "Geldig vanaf", "Geldig tot", "Prioriteit", "Combineerbaar"]

RATES = {"EUR": Decimal(1), "GBP": Decimal("0.86"), "USD": Decimal("1.09")}


def price_rows(customers, products, scale):
    source = Source("prices")
    sellable = [p for p in products if p.sold]
    current = [p for p in sellable if p.status != "V"]
    serial = 100000

    def line(agreement, who, what, kind, value, *, places=2, currency="EUR", unit="", per="", quantity="", scale_type="V", least="", valid=(None, None), priority="", combinable=False):
        nonlocal serial
        serial += 1
        if kind == "P":
            value_text, per, currency = number(value, 2), "", currency if least else ""
        else:
            value_text = money(value, places)
        return [serial, agreement, *who, *what, kind, value_text, currency, unit, per, quantity, scale_type if quantity else "", money(least) if least else "",
                day(valid[0]), day(valid[1]), priority, yes(combinable)]

    def net(agreement, who, product, share, *, tiers=(), currency="EUR", valid=(None, None), priority, in_pack=False, scale_type="V"):
        """Net price lines for a product at a share of its list price, one per tier."""
        factor, unit = Decimal(1), product.unit
        if in_pack and product.pack:
            unit, factor = product.pack[0], Decimal(product.pack[1])
        per = 1 if in_pack else product.per
        base = product.price * RATES[currency] * factor * per * share
        # Small prices are agreed to four decimals, large ones to cents.
        places = 4 if base < 10 and source.chance(60) else 2
        if scale_type == "T" and tiers:
            # Up to: each line ends where the next begins, and the last one has no end.
            tiers = [*tiers[1:], 999999]
        for at, quantity in enumerate(tiers or [""]):
            value = max(base * (Decimal(1) - Decimal("0.045") * at), Decimal(1).scaleb(-places))
            yield line(agreement, who, ("A", product.number), "N", value, places=places, currency=currency, unit=unit, per=per, quantity=quantity, scale_type=scale_type, valid=valid, priority=priority)

    def tiers_for(product, n):
        step = int(product.multiple or 1) or 1
        start = int(product.minimum or 1) or 1
        amounts = {"M": [1, 100, 500, 1000, 2500], "KG": [1, 25, 100, 250, 500]}.get(product.unit)
        amounts = amounts or ([1, 200, 1000, 5000, 10000] if product.per > 1 else [1, 2, 5, 10, 20] if product.price > 150 else [1, 10, 50, 100, 250])
        rounded = [max(start, -(-a // step) * step) for a in amounts[:n]]
        return sorted(set(rounded))

    def validity():
        """Mostly current and open ended; some closed, some past, some to come."""
        draw = source.below(100)
        if draw < 45:
            return source.date(date(2024, 1, 1), TODAY), None
        if draw < 60:
            return date(2026, 1, 1), source.pick([date(2026, 12, 31), date(2027, 12, 31), date(2099, 12, 31)])
        if draw < 65:
            return None, None
        if draw < 83:
            start = source.date(date(2023, 1, 1), date(2025, 6, 30))
            return start, start + timedelta(days=source.pick([89, 181, 364]))
        start = source.date(TODAY + timedelta(days=7), date(2027, 7, 1))
        return start, source.pick([None, date(2027, 12, 31), start + timedelta(days=364)])

    # The customer that the documentation walks through: a contract with tiers, without surprises.
    first = customers[0]
    for code, values in zip(SHOWN, [("0.7125", "0.6840", "0.6250"), ("2.4400", "2.3180", "2.1950")]):
        for quantity, value in zip((1, 50, 200), values):
            yield line("CT-10000", ("K", first.number), ("A", code), "N", value, places=4, unit="ST", per=1, quantity=quantity, valid=(date(2026, 1, 1), None), priority=10)
    yield line("CT-10000", ("K", first.number), ("G", "KAB"), "P", "27.5", valid=(date(2026, 1, 1), None), priority=20)

    # List prices, year by year, for everyone.
    everyone = ("A", "")
    for product in sellable:
        last, coming = source.chance(12), product.status == "A" and source.chance(12)
        for year, share in LIST_YEARS.items():
            if (year == 2025 and not last) or (year == 2027 and not coming):
                continue
            ends = year == 2025 or (year == 2026 and (coming or product.status == "V"))
            valid = (date(year, 1, 1), date(year, 12, 31) if ends else None)
            yield from net(f"LIJST-{year}", everyone, product, share, tiers=tiers_for(product, 3) if source.chance(8) else (), valid=valid, priority=90)
    for currency in ("GBP", "USD"):
        for product in source.sample(current, 45 * scale):
            yield from net(f"LIST-{currency}-2026", everyone, product, Decimal("1.02"), currency=currency, valid=(date(2026, 1, 1), None), priority=90)

    # Discounts of customer groups and price groups on product groups.
    for at, group in enumerate(CUSTOMER_GROUPS + PRICE_GROUPS):
        for product_group in PRODUCT_GROUPS:
            percent = Decimal(source.between(10, 76)) / 2
            yield line(f"GK-{group}", ("G", group), ("G", product_group), "P", percent, valid=(date(2026, 1, 1), None), priority=50)
            if source.chance(25):
                yield line(f"GK-{group}", ("G", group), ("G", product_group), "P", percent - 2, valid=(date(2025, 1, 1), date(2025, 12, 31)), priority=50)
            if source.chance(20):
                yield line(f"GK-{group}-27", ("G", group), ("G", product_group), "P", percent + Decimal("0.75"), valid=(date(2027, 1, 1), None), priority=45)
        yield line(f"GK-{group}", ("G", group), ("T", ""), "P", Decimal(2 + at % 4), valid=(date(2026, 1, 1), None), priority=60, combinable=True)
    yield line("B2B-ORDER", ("G", "B2B"), ("T", ""), "P", Decimal("1.5"), least=1500, valid=(date(2026, 1, 1), None), priority=65, combinable=True)
    yield line("B2B-ORDER", ("G", "B2B"), ("T", ""), "P", Decimal("2.25"), least=5000, valid=(date(2026, 1, 1), None), priority=65, combinable=True)
    for group, product_group, amount, unit in [("INSTAL", "POM", "12.5", "ST"), ("BOUW", "GER", "2.25", "ST"), ("ONDERHOUD", "VRW", "7.5", "ST"), ("PG3", "AFS", "0.35", "ST")]:
        yield line(f"AK-{group}", ("G", group), ("G", product_group), "B", amount, unit=unit, per=1, valid=(date(2026, 3, 1), None), priority=52, combinable=True)

    # For everyone: surcharges that follow the metal markets, and promotions.
    yield line("KOPER", everyone, ("G", "KAB"), "T", "1245.5", unit="M", per=1000, valid=(date(2025, 1, 1), date(2025, 12, 31)), priority=95, combinable=True)
    yield line("KOPER", everyone, ("G", "KAB"), "T", "34.85", unit="M", per=1000, valid=(date(2026, 10, 1), None), priority=95, combinable=True)
    yield line("KOPER", everyone, ("G", "BUI"), "T", "18.4", unit="M", per=100, valid=(date(2026, 10, 1), None), priority=95, combinable=True)
    yield line("BALIE", ("G", "BALIE"), ("T", ""), "T", "0.05", per=1, valid=(date(2026, 1, 1), None), priority=96, combinable=True)
    yield line("WEB", ("G", "WEBSHOP"), ("T", ""), "P", "1", valid=(date(2026, 1, 1), None), priority=66, combinable=True)
    yield line("JUBILEUM", everyone, ("T", ""), "P", "5", valid=(date(2025, 9, 1), date(2025, 9, 30)), priority=70, combinable=True)
    yield line("ACTIE-PBM", everyone, ("G", "PBM"), "P", "12.5", valid=(date(2026, 11, 1), date(2027, 1, 31)), priority=70)
    yield line("ACTIE-GER", everyone, ("G", "GER"), "B", "1.5", unit="ST", per=1, valid=(date(2027, 3, 1), date(2027, 3, 31)), priority=70)
    for product in source.sample([p for p in current if p.price > 40], 25):
        yield line(f"ACTIE-{source.between(10, 48)}", everyone, ("A", product.number), "B", product.price / 20, unit=product.unit, per=1, valid=validity(), priority=72)
        yield line("MILIEU", everyone, ("A", product.number), "T", product.price / 80, unit=product.unit, per=1, valid=(date(2026, 1, 1), None), priority=95, combinable=True)
        yield line(f"ACTIE-{source.between(10, 48)}", everyone, ("A", product.number), "P", source.between(3, 15), valid=validity(), priority=72)

    # Price groups: net prices with tiers, and some in whole packages.
    for price_group in PRICE_GROUPS:
        for product in source.sample(current, 75 * scale):
            share = Decimal(source.between(68, 88)) / 100
            packed = bool(product.pack) and source.chance(15)
            scale_type = source.pick("V" * 12 + "TG")
            yield from net(f"{price_group}-2026", ("G", price_group), product, share, tiers=() if packed else tiers_for(product, source.pick([1, 3, 4])), valid=validity(),
                           priority=40, in_pack=packed, scale_type=scale_type)
        for product_group in source.sample(PRODUCT_GROUPS, 2):
            yield line(f"{price_group}-RD", ("G", price_group), ("G", product_group), "T", Decimal(source.between(5, 40)) / 100, unit="", per=1, valid=validity(), priority=94, combinable=True)
    for group in CUSTOMER_GROUPS:
        for product in source.sample(current, 8 * scale):
            yield line(f"GA-{group}", ("G", group), ("A", product.number), "P", Decimal(source.between(6, 90)) / 2, valid=validity(), priority=44)
            yield line(f"GA-{group}", ("G", group), ("A", product.number), source.pick("BT"), product.price * product.per / 25 + Decimal("0.01"), places=4, unit=product.unit, per=product.per,
                       valid=validity(), priority=46, combinable=True)

    # Customers' own agreements, about as many as customers of a wholesaler have: few with most, many with some.
    for at, c in enumerate(customers[1:], 1):
        who = ("K", c.number)
        agreement = f"PA{source.between(23, 26)}-{10000 + at}"
        for product in source.sample(current, source.pick([0, 2, 3, 4, 6, 8, 12, 26])):
            share = Decimal(source.between(560, 880)) / 1000
            packed = bool(product.pack) and source.chance(8)
            yield from net(agreement, who, product, share, tiers=() if packed else tiers_for(product, source.pick([1, 1, 3, 4, 5])), currency=c.currency, valid=validity(), priority=10,
                           in_pack=packed, scale_type=source.pick("V" * 18 + "TG"))
        for product_group in source.sample(PRODUCT_GROUPS, source.pick([0, 0, 1, 2, 4])):
            yield line(f"{agreement}-K", who, ("G", product_group), "P", Decimal(source.between(20, 110)) / 2 - 5, valid=validity(), priority=20)
        if source.chance(12):
            yield line(f"{agreement}-K", who, ("T", ""), "P", Decimal(source.between(1, 12)) / 2, least=source.pick(["", "", 750, 2500]), currency=c.currency, valid=validity(), priority=30, combinable=True)
        if source.chance(20):
            product = source.pick(current)
            yield line(f"{agreement}-A", who, ("A", product.number), "P", source.between(5, 40), quantity=source.pick(["", 25, 100]), unit=product.unit, valid=validity(), priority=12)
        if source.chance(12):
            product = source.pick(current)
            yield line(f"{agreement}-A", who, ("A", product.number), "B", product.price * product.per * RATES[c.currency] / 12 + Decimal("0.01"), places=4, currency=c.currency, unit=product.unit,
                       per=product.per, valid=validity(), priority=14, combinable=True)
        if source.chance(8):
            product = source.pick(current)
            yield line(f"{agreement}-T", who, ("A", product.number), "T", product.price * product.per * RATES[c.currency] / 30 + Decimal("0.01"), places=4, currency=c.currency, unit=product.unit,
                       per=product.per, valid=validity(), priority=93, combinable=True)
        if source.chance(8):
            product_group = source.pick(["AFS", "GER", "INS"])
            yield line(f"{agreement}-T", who, ("G", product_group), source.pick("TB"), Decimal(source.between(10, 95)) / 100, currency=c.currency, unit="ST", per=source.pick([1, 10]),
                       valid=validity(), priority=93, combinable=True)
        if source.chance(3):
            yield line(f"{agreement}-N", who, ("G", "LAS"), "N", Decimal(source.between(410, 690)) / 100, currency=c.currency, unit="KG", per=1, valid=validity(), priority=18)
        if source.chance(3):
            yield line(f"{agreement}-T", who, ("T", ""), "T", Decimal(source.between(2, 9)) / 100, places=4, currency=c.currency, per=1, valid=validity(), priority=97, combinable=True)


# Stock, credit and delivery.

WAREHOUSES = ["UTR", "RTM", "EHV"]
STOCK_COLUMNS = ["Artikelnummer", "Magazijn", "Eenheid", "Voorraad", "Gereserveerd", "Beschikbaar", "Verwacht op", "Verwacht aantal"]


def stock_rows(products):
    source = Source("stock")
    for product in products:
        if not product.sold:
            continue
        for warehouse in WAREHOUSES:
            if product.status == "V" and warehouse != "UTR":
                continue
            level = Decimal(25 if product.price > 150 else 4000 if product.price * product.per < 30 and product.per > 1 else 600)
            on_hand = Decimal(0) if product.to_order or (source.chance(9) and product.number not in SHOWN) else (level * source.between(2, 100) / 100).quantize(Decimal(1), ROUND_HALF_UP)
            if product.unit in ("M", "KG") and on_hand and source.chance(35):
                on_hand += Decimal(source.between(1, 9)) / 10
            reserved = Decimal(0) if source.chance(55) else (on_hand * source.between(1, 60) / 100).quantize(Decimal(1), ROUND_HALF_UP)
            if not product.to_order and source.chance(2):
                reserved += on_hand + source.between(1, 12)
            expected, amount = "", ""
            if product.status != "V" and source.chance(22):
                expected, amount = day(source.date(TODAY + timedelta(days=1), TODAY + timedelta(days=75))), number(max(int(level) // 2, 1))
            yield [product.number, warehouse, product.unit, number(on_hand), number(reserved), number(on_hand - reserved), expected, amount]


CREDIT_COLUMNS = ["Klantnummer", "Valuta", "Kredietlimiet", "Openstaand", "Vervallen", "Lopende orders", "Geblokkeerd"]


def credit_rows(customers):
    source = Source("credit")
    for c in customers:
        limit = Decimal(source.pick([2500, 5000, 7500, 10000, 15000, 25000, 50000, 125000]))
        if c.number == "10000":
            limit = Decimal(25000)
        unlimited = c.number != "10000" and (c.group == "OVERHEID" or source.chance(4))
        receivables = limit * source.between(0, 900) / 1000 + Decimal(source.below(10000)) / 100
        if c.number != "10000" and source.chance(7):
            receivables = -Decimal(source.between(1500, 250000)) / 100
        elif source.chance(8):
            receivables = Decimal(0)
        overdue = receivables * source.between(5, 60) / 100 if receivables > 0 and source.chance(30) else Decimal(0)
        orders = limit * source.between(0, 220) / 1000 + Decimal(source.below(100)) / 100 if source.chance(65) else Decimal(0)
        blocked = c.blocked == "A" or (c.number != "10000" and overdue > limit * Decimal("0.4"))
        yield [c.number, c.currency, "" if unlimited else money(limit), money(receivables), money(overdue), money(orders), yes(blocked)]


DELIVERY_COLUMNS = ["Regelnr", "Soort klant", "Klantcode", "Soort artikel", "Artikelcode", "Leverwijze", "Levertijd", "Leverdagen", "Leverdata", "Besteltijd tot", "Vervoerder", "Minimumbedrag", "Valuta"]
WEEKDAYS = ["ma", "di", "wo", "do", "vr"]


def delivery_rows(customers, products, scale):
    source = Source("delivery")
    serial = 0
    active = [p for p in products if p.sold and p.status == "A"]

    def line(who, what, mode, days, *, weekdays="", dates="", cut_off="", carrier="", least="", currency="EUR"):
        nonlocal serial
        serial += 1
        return [f"LV{serial:04d}", *who, *what, mode, days, weekdays, dates, cut_off, carrier, money(least) if least else "", currency if least else ""]

    everyone, everything = ("A", ""), ("T", "")
    yield line(everyone, everything, "D", 1, cut_off="16:00", carrier="Pakketdienst", least=75)
    yield line(everyone, ("G", "VRW"), "D", 3, cut_off="12:00", carrier="Distributie Oost")
    yield line(everyone, ("G", "BUI"), "P", 2, weekdays="di,do", cut_off="14:30", carrier="Eigen vervoer", least=250)
    for group, mode, days, weekdays, cut_off, carrier, least in [
        ("INSTAL", "D", 1, "", "17:30", "Eigen vervoer", 0), ("BOUW", "P", 1, "ma,wo,vr", "15:00", "Eigen vervoer", 150), ("INDUSTRIE", "D", 1, "", "16:00", "Pakketdienst", 100),
        ("OVERHEID", "P", 3, "di,do", "12:00", "Eigen vervoer", 0), ("DOORVERKOOP", "P", 2, "wo", "12:00", "Distributie Oost", 1250), ("ONDERHOUD", "D", 2, "", "16:00", "Pakketdienst", 50),
        ("BALIE", "D", 0, "", "17:00", "Afhalen", 0),
    ]:
        yield line(("G", group), everything, mode, days, weekdays=weekdays, cut_off=cut_off, carrier=carrier, least=least)
    for group in ("BOUW", "INSTAL"):
        yield line(("G", group), ("G", "VRW"), "P", 2, weekdays="ma,do", cut_off="16:00", carrier="Distributie Oost", least=500)
        product = source.pick([p for p in products if p.group == "POM" and not p.to_order])
        yield line(("G", group), ("A", product.number), "D", 1, cut_off="16:00", carrier="Pakketdienst")
    for product in [p for p in products if p.to_order][: 16 * scale]:
        yield line(everyone, ("A", product.number), "B", source.between(15, 40), carrier="Distributie Oost")
    for c in source.sample(customers[1:], 24 * scale):
        shape = source.below(4)
        if shape == 0:
            days = ",".join(d for d in WEEKDAYS if source.chance(40)) or "ma,do"
            yield line(("K", c.number), everything, "P", source.between(1, 3), weekdays=days, cut_off=source.pick(["12:00", "16:00", "18:00"]), carrier="Eigen vervoer",
                       least=source.pick([0, 250, 1500]), currency=c.currency)
        elif shape == 1:
            dates = ",".join(day(date(2026 + (11 + n) // 12, (11 + n) % 12 + 1, source.between(1, 28))) for n in range(4))
            yield line(("K", c.number), ("G", source.pick(["BEV", "KAB", "PBM"])), "P", 2, dates=dates, cut_off="16:00", carrier="Distributie Oost")
        elif shape == 2:
            yield line(("K", c.number), ("G", source.pick(PRODUCT_GROUPS)), "D", 1, cut_off="16:00", carrier=source.pick(["Koerier \"Direct\"", "Pakketdienst; voor 10:00"]))
        else:
            yield line(("K", c.number), ("A", source.pick(active).number), "B" if source.chance(30) else "D", source.between(2, 12), carrier="Pakketdienst")
    yield line(("K", customers[0].number), everything, "P", 1, weekdays="ma,do", cut_off="16:00", carrier="Eigen vervoer", least=100)


def main():
    parser = argparse.ArgumentParser(description="Writes the demo export.")
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="N times as many customers, products and agreements (default 1)")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "export", metavar="DIR", help="where to write (default: export/ beside this file)")
    arguments = parser.parse_args()
    if arguments.scale < 1:
        parser.error("--scale must be at least 1")
    scale, out = arguments.scale, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    products = make_products(scale)
    customers = make_customers(scale)
    write(out / "klanten.csv", CUSTOMER_COLUMNS, customer_rows(customers))
    write(out / "adressen.csv", ADDRESS_COLUMNS, address_rows(customers))
    write(out / "contacten.csv", CONTACT_COLUMNS, contact_rows(customers))
    write(out / "artikelen.csv", ARTICLE_COLUMNS, article_rows(products))
    write(out / "klantartikelen.csv", CUSTOMER_ARTICLE_COLUMNS, customer_article_rows(customers, products, scale))
    write(out / "prijsafspraken.csv", PRICE_COLUMNS, price_rows(customers, products, scale))
    write(out / "voorraad.csv", STOCK_COLUMNS, stock_rows(products))
    write(out / "kredieten.csv", CREDIT_COLUMNS, credit_rows(customers))
    write(out / "leveringsvoorwaarden.csv", DELIVERY_COLUMNS, delivery_rows(customers, products, scale))


if __name__ == "__main__":
    main()
