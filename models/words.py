"""Words, names and values that the generated text is made of, split into a training and a held-out part."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random

HELD_OUT_SHARE = 10

NAMES = """
Ada Alan Alice Amir Anna Ben Bob Carla Chen Clara Dana David Diego Dora Elena Emil Emma Eric Eva Felix Fiona
Frank Grace Greta Hana Hugo Ida Igor Ines Iris Ivan Jack Jane Jonas Jorge Julia Kai Karl Kate Kenji Lara
Lena Leo Lily Linda Lucas Maria Mark Marta Max Maya Mia Mila Nadia Nina Noah Nora Olga Omar Oscar Otto Paul
Peter Petra Priya Quinn Rania Rosa Ruth Sam Sara Sofia Stefan Tara Theo Tim Tom Uma Vera Victor Wanda Xenia
Yara Yuki Zoe
""".split()
CITIES = """
Paris London Berlin Tokyo Rome Madrid Oslo Vienna Prague Lisbon Dublin Athens Cairo Delhi Lima Boston
Chicago Denver Seattle Sydney Toronto Warsaw Zurich Geneva Milan Naples Porto Seoul Beijing Nairobi Helsinki
Lyon Munich Hamburg Kyoto Osaka Bern Basel Turin Malaga Bristol Glasgow Austin Dallas Miami Bogota Quito
Santiago
""".split()
ADJECTIVES = """
red blue green yellow black white orange purple silver golden small large old new quiet bright dark round
heavy light wooden stone iron glass north south east west upper lower inner outer first second third last
main front back left right open hidden narrow wide warm cold dry wet tall short busy empty
""".split()
THINGS = """
door gate box room tower bridge garden kitchen office desk locker cabinet safe server printer machine engine
boat train truck car plane ship station market school library museum hotel cafe shop farm mill harbor tunnel
road street lamp clock radio phone camera table chair shelf drawer bag bottle key card ticket book map
letter parcel crate robot sensor valve pump tank cable panel screen window roof cellar barn stable tent
cabin island lake river hill
""".split()
ATTRIBUTES = """
code room number password color badge floor phone age address price size weight color owner manager pin
token seat locker shelf city team project animal drink fruit song nickname key score rank limit budget
serial model plate extension ticket order account capital captain boss title species level secret
""".split()
TWO_WORD_ATTRIBUTES = [
    "access code",
    "room number",
    "phone number",
    "favorite color",
    "secret word",
    "locker number",
    "middle name",
    "home city",
    "start time",
    "door code",
    "magic number",
    "best friend",
    "first name",
    "last name",
    "due date",
    "unit price",
    "order number",
    "pet name",
    "flight number",
    "seat number",
    "user name",
    "zip code",
    "case number",
    "wifi password",
    "job title",
    "birth year",
]
ANIMALS = """
cat dog horse fox owl bear wolf lion tiger rabbit mouse goat sheep duck goose eagle whale shark frog crab
""".split()
FOODS = """
tea coffee water milk juice apple pear plum cherry lemon mango bread cheese rice soup cake honey salt corn
fig
""".split()
JOBS = """
teacher doctor nurse pilot baker farmer driver painter writer singer lawyer engineer builder sailor chef
tailor plumber dentist gardener librarian
""".split()
VERBS = """
get find send set make open close start stop check list read write update delete create add remove move copy
book order cancel play pause show search look call count convert translate measure print save load share
schedule track compare sort lock unlock
""".split()
NOUNS = """
weather time timer alarm email message note task event meeting calendar flight hotel table ticket price
stock song movie recipe route map photo file folder report invoice account balance payment contact phone
address door light heater camera printer order parcel user record document translation definition news score
reminder
""".split()
FILLER_NOUNS = """
morning evening summer winter wind rain snow cloud storm sun moon star sea shore sand forest tree leaf
flower grass field path stone mountain valley village town people child children friend neighbor family
house wall story idea question answer word page paper picture music voice sound silence hand eye face heart
mind body life world year month week day hour minute moment place side end part line point group company
system program problem plan work job team game food water coffee tea bread dinner lunch breakfast money
market trade price history science nature
""".split()
FILLER_VERBS = """
walked looked talked waited worked played stayed moved turned opened closed started stopped called asked
seemed helped showed carried followed watched learned changed passed crossed reached kept left found made
took gave told felt thought heard saw wrote read ran sat stood came went began grew fell rose
""".split()
FILLER_LINKS = """
and but because while when after before until although so then if since as
""".split()
FILLER_SMALL = """
the a one some every this that his her their our its another each no many few most
""".split()
FILLER_ENDS = """
again slowly quickly today yesterday together alone outside inside later early often never always quietly
well far away nearby at home in the end for a while all day by the way of course
""".split()
FILLER_PREPS = """
in on at by with from to over under near behind through across around of for about without into
""".split()
SYLLABLES = """
ba be bi bo bra bre da de do dra el en fa fe fi fo ga ge gi go gra ha he hi ho il in ja jo ka ke ki ko kra
la le li lo lu ma me mi mo mu na ne ni no nu or pa pe pi po ra re ri ro ru sa se si so su ta te ti to tra tu
ul va ve vi vo wa we wi xa ya yo za ze zi zo
""".split()
CODAS = ["", "", "", "n", "r", "l", "s", "x", "th", "m", "k", "rd", "nd"]


def is_held_out(key: str) -> bool:
    """True for the tenth of all keys that training never sees."""
    return zlib.crc32(key.encode()) % HELD_OUT_SHARE == 0


@dataclass(frozen=True, slots=True)
class Words:
    """A seeded source of keys and values; `held_out` picks the side of the split that keys come from."""

    rng: Random
    held_out: bool = False

    def one(self, options: list[str]) -> str:
        return options[int(self.rng.random() * len(options))]

    def fresh(self, make: str) -> str:
        """A key of the kind `make` (a method name below) from this source's side of the split."""
        while True:
            key: str = getattr(self, make)()
            if is_held_out(key) is self.held_out:
                return key

    def invented(self) -> str:
        """A name nobody has: two or three syllables."""
        parts = [self.one(SYLLABLES) for _ in range(self.rng.choice((2, 2, 3)))]
        return ("".join(parts) + self.one(CODAS)).capitalize()

    def person(self) -> str:
        return self.one(NAMES) if self.rng.random() < 0.85 else self.invented()

    def thing(self) -> str:
        return f"the {self.one(ADJECTIVES)} {self.one(THINGS)}"

    def entity(self) -> str:
        """Whom or what a fact is about."""
        kind = self.rng.random()
        return self.person() if kind < 0.65 else self.thing()

    def attribute(self) -> str:
        """What a fact says about its entity."""
        return self.one(TWO_WORD_ATTRIBUTES if self.rng.random() < 0.15 else ATTRIBUTES)

    def digits(self, low: int, high: int) -> str:
        return "".join(self.one(list("0123456789")) for _ in range(self.rng.randint(low, high)))

    def letters(self, count: int) -> str:
        return "".join(self.one(list("ABCDEFGHJKLMNPQRSTUVWXYZ")) for _ in range(count))

    def code(self) -> str:
        kind = self.rng.random()
        if kind < 0.75:
            return self.digits(2, 4)
        return (
            f"{self.letters(2)}-{self.digits(2, 3)}" if kind < 0.85 else self.letters(1) + self.digits(1, 3)
        )

    def value(self) -> str:
        """What a fact says: a number, a code, a name or a word."""
        kind = self.rng.random()
        if kind < 0.6:
            return self.code()
        if kind < 0.75:
            return self.person()
        return self.one(self.one_list())

    def one_list(self) -> list[str]:
        return self.rng.choice((CITIES, ANIMALS, FOODS, ADJECTIVES, THINGS, JOBS))
