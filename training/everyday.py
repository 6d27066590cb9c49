"""A small grammar of everyday spoken English: word lists, sentence patterns and the rules that join them.

All lists and patterns are the project's own. A pattern names its slots in braces: `{food}` draws from the list of that
name, `{a food}` puts the article before it, `{vp past}` gives a verb phrase in a form (base, past, s, ing, pp).
"""

import random
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

MIN_WORDS: Final = 3
MAX_WORDS: Final = 14
_STALE_LIMIT: Final = 20_000  # draws in a row that bring nothing new: the grammar is spent


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _split(text: str) -> tuple[str, ...]:
    """Cut a comma-separated list; line breaks inside it do not matter."""
    return tuple(" ".join(part.split()) for part in text.split(",") if part.strip())


_UNITS: Final = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS: Final = _words("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS: Final = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)


_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": _words(
        """Adam Alan Alice Amy Andrew Angela Anna Arthur Barbara Ben Betty Bill Bob Brenda Brian Carl Carol Catherine
        Charles Chris Claire Clara Craig Dan David Dennis Diana Donald Doris Dorothy Edward Elaine Elizabeth Ella Eric
        Eva Evelyn Felix Frank Fred Gary Gloria Grace Greg Harold Harry Helen Henry Howard Irene Isaac Jack Jacob James
        Jane Janet Jason Jean Jeff Jennifer Jenny Jerry Jessica Jill Jim Joan John Jonathan Joseph Judy Julia Julie
        Karen Kate Keith Kelly Kevin Larry Laura Leo Leon Linda Lisa Louis Louise Luke Margaret Maria Mark Martin Mary
        Matthew Max Michael Mike Molly Monica Nancy Natalie Nathan Nick Nina Norman Oscar Pamela Patrick Paul Paula
        Philip Rachel Ralph Ray Rebecca Richard Robert Robin Roger Rose Roy Russell Ryan Sally Sam Samantha Samuel
        Sandra Sarah Scott Sean Sharon Simon Stella Stephen Steve Stuart Susan Sylvia Ted Teresa Thomas Tim Tina Todd
        Tom Tony Vera Victor Victoria Vincent Walter Wendy William Zoe"""
    ),
    "surname": _words(
        """Adams Allen Anderson Baker Bell Bennett Brooks Brown Butler Campbell Carter Clark Collins Cook Cooper Cox
        Davis Edwards Evans Fisher Foster Garcia Gray Green Griffin Hall Harris Hayes Hill Hughes Jackson Johnson Jones
        King Lee Lewis Lopez Marshall Martinez Miller Mitchell Moore Morgan Morris Murphy Nelson Parker Perez Perry
        Phillips Powell Price Reed Reynolds Roberts Robinson Rogers Ross Sanders Shaw Simpson Smith Stewart Taylor
        Thompson Turner Walker Ward Watson White Williams Wilson Wood Wright Young"""
    ),
    "relative": _split(
        """mother, father, brother, sister, aunt, uncle, cousin, grandmother, grandfather, wife, husband, son, daughter,
        nephew, niece, neighbor, roommate, boss, partner, best friend, older brother, younger sister, little cousin,
        landlord, colleague, assistant, girlfriend, boyfriend, teacher, coach, lawyer, dentist, twin sister"""
    ),
    "job": _split(
        """doctor, nurse, farmer, pilot, lawyer, baker, butcher, plumber, carpenter, painter, gardener, driver, waiter,
        waitress, chef, teacher, engineer, mechanic, barber, dentist, soldier, sailor, judge, journalist, photographer,
        musician, actor, dancer, singer, writer, designer, secretary, accountant, scientist, librarian, fisherman,
        electrician, surgeon, architect, cashier, manager, detective, translator, banker, tailor, student, janitor,
        postman, guard, professor, director, clerk, salesman, reporter, consultant, poet, priest"""
    ),
    "group": _split(
        """the kids, my parents, our neighbors, the children, your friends, the students, the guests, my cousins,
        the players, some tourists, the workers, the twins, my grandparents, the passengers, the boys, the girls,
        our relatives, the customers, the visitors, the volunteers, his brothers, her sisters, the musicians"""
    ),
    "thing": _split(
        """phone, camera, laptop, wallet, purse, umbrella, ticket, passport, map, book, notebook, newspaper, magazine,
        pen, pencil, eraser, ruler, folder, envelope, stamp, postcard, letter, package, box, basket, bag, backpack,
        suitcase, bottle, jar, bucket, ladder, rope, candle, lighter, flashlight, battery, charger, cable, keyboard,
        radio, watch, clock, mirror, comb, brush, towel, blanket, pillow, pan, pot, kettle, plate, bowl, cup, mug,
        fork, knife, spoon, napkin, tray, toy, doll, ball, kite, puzzle, dictionary, calendar, painting, photograph,
        statue, vase, lamp, rug, broom, mop, sponge, iron, toaster, blender, heater, fan, tent, compass, whistle,
        helmet, bell, drum, coin, ring, necklace, bracelet, diamond, gift, balloon, ribbon, diary, poster, receipt,
        contract, remote, screen, printer, telescope, microphone, needle, thread, button, zipper, lock, key, chain"""
    ),
    "things": _split(
        """keys, books, gloves, glasses, tickets, photos, letters, plates, towels, tools, boxes, candles, documents,
        flowers, batteries, cards, coins, papers, toys, bags, pictures, stamps, magazines, headphones, scissors,
        pillows, blankets, balloons, earrings, crayons, postcards, binoculars, envelopes, records, souvenirs, notes"""
    ),
    "tool": _split(
        """hammer, saw, drill, wrench, screwdriver, shovel, rake, axe, ladder, paintbrush, hose, wheelbarrow, pump,
        tape measure, lawn mower, vacuum cleaner, sewing machine, toolbox"""
    ),
    "clothing": _split(
        """shirt, sweater, jacket, coat, dress, skirt, hat, cap, scarf, belt, tie, suit, blouse, vest, hoodie, uniform,
        raincoat, swimsuit, costume, bathrobe, cardigan, apron"""
    ),
    "clothes": _split(
        "shoes, boots, socks, jeans, pants, shorts, sandals, slippers, sneakers, gloves, mittens, pajamas, sunglasses"
    ),
    "food": _split(
        """bread, cheese, rice, chicken, beef, pork, fish, salmon, soup, salad, pasta, pizza, butter, bacon, ham, steak,
        honey, jam, yogurt, cereal, toast, chocolate, ice cream, cake, pie, turkey, lamb, tofu, curry, lasagna, stew,
        porridge, popcorn, candy, garlic bread, mashed potato, peanut butter, shrimp, tuna, sausage, gravy, mustard,
        ketchup, vinegar, pepper, salt, sugar, flour, cinnamon, spinach, cabbage, broccoli, celery, lettuce, corn"""
    ),
    "foods": _split(
        """apples, oranges, bananas, grapes, cherries, peaches, pears, plums, lemons, limes, strawberries, blueberries,
        raspberries, melons, pineapples, mangoes, tomatoes, potatoes, carrots, onions, mushrooms, beans, peas,
        cucumbers, peppers, pumpkins, walnuts, peanuts, almonds, raisins, olives, eggs, cookies, noodles, sandwiches,
        pancakes, waffles, burgers, dumplings, muffins, donuts, crackers, pickles, meatballs, radishes, beets"""
    ),
    "drink": _split(
        """water, coffee, tea, milk, orange juice, apple juice, lemonade, soda, hot chocolate, wine, beer, iced tea,
        sparkling water, cider, mineral water, green tea, tomato juice, champagne, whiskey"""
    ),
    "meal": _split("breakfast, lunch, dinner, supper, brunch, dessert"),
    "taste": _split(
        """sweet, sour, salty, bitter, spicy, bland, delicious, fresh, stale, crispy, burnt, greasy, tender, creamy,
        awful, amazing, wonderful, strange, too hot, too cold, a bit dry, rather plain"""
    ),
    "place": _split(
        """bank, library, post office, hospital, school, museum, park, beach, airport, train station, market, bakery,
        pharmacy, supermarket, cinema, theater, restaurant, hotel, church, stadium, gym, zoo, factory, office, harbor,
        castle, garden, farm, bridge, village, university, bookstore, cafe, courthouse, embassy, gallery, playground,
        swimming pool, police station, bus stop, fire station, town hall, shopping center, subway, cemetery, temple,
        laundry, gas station, parking lot, concert hall, campground, lighthouse, warehouse, barber shop, aquarium"""
    ),
    "nature": _split(
        """forest, river, lake, mountain, valley, desert, island, meadow, waterfall, canyon, cliff, coast, ocean, pond,
        hill, jungle, cave, swamp, field, orchard, glacier, volcano, shore, creek, trail"""
    ),
    "city": _split(
        """London, Paris, Berlin, Rome, Vienna, Dublin, Moscow, Tokyo, Sydney, Boston, Chicago, Dallas, Seattle, Miami,
        Houston, Phoenix, Atlanta, Detroit, Portland, Cairo, Athens, Lisbon, Prague, Warsaw, Oslo, Geneva, Zurich,
        Amsterdam, Brussels, Venice, Milan, Naples, Barcelona, Toronto, Montreal, Vancouver, Denver, Nashville,
        Philadelphia, Beijing, Shanghai, Bangkok, Singapore, Nairobi, Lima, New York, San Francisco, Hong Kong"""
    ),
    "country": _split(
        """France, Germany, Italy, Spain, Greece, Turkey, Egypt, India, China, Japan, Korea, Australia, Brazil,
        Argentina, Mexico, Canada, Ireland, Scotland, England, Norway, Sweden, Finland, Denmark, Poland, Austria,
        Switzerland, Belgium, Hungary, Morocco, Kenya, Thailand, Vietnam, Chile, Peru, Cuba, Iceland, Russia, Israel"""
    ),
    "state": _split(
        "California, Texas, Florida, Alaska, Hawaii, Ohio, Oregon, Virginia, Georgia, Arizona, Colorado, Kansas, Maine"
    ),
    "language": _split(
        """English, French, German, Italian, Spanish, Greek, Turkish, Russian, Chinese, Japanese, Korean, Arabic,
        Portuguese, Dutch, Swedish, Polish, Latin, Hebrew"""
    ),
    "room": _split(
        """kitchen, bathroom, bedroom, living room, dining room, garage, basement, attic, hallway, balcony, garden,
        yard, closet, office, cellar, guest room, laundry room, porch, pantry, nursery, study"""
    ),
    "furniture": _split(
        """table, chair, sofa, desk, bed, shelf, bookcase, wardrobe, dresser, bench, stool, cabinet, drawer, cupboard,
        lamp, curtain, carpet, fridge, freezer, stove, oven, sink, dishwasher, washing machine, television, couch,
        mattress, window, door, roof, ceiling, wall, floor, fence, gate, chimney, faucet, shower, piano"""
    ),
    "on_what": _split(
        """on the table, under the bed, behind the door, next to the window, in the drawer, on the shelf, in the car,
        at the office, on the kitchen counter, inside the cupboard, under the chair, beside the sofa, in your pocket,
        in the basement, on top of the fridge, between the cushions, near the stairs, at the bottom of the bag,
        in the glove compartment, above the sink, below the mirror, outside the garage, against the wall"""
    ),
    "animal": _split(
        """dog, cat, horse, cow, pig, sheep, goat, chicken, duck, goose, rabbit, mouse, rat, squirrel, fox, wolf, bear,
        deer, lion, tiger, elephant, monkey, giraffe, zebra, camel, snake, lizard, turtle, frog, spider, bee, butterfly,
        eagle, owl, parrot, pigeon, crow, swan, dolphin, whale, shark, penguin, hamster, donkey, kangaroo, crocodile,
        hedgehog, raccoon, beaver, otter, seal, puppy, kitten"""
    ),
    "animals": _split(
        """dogs, cats, horses, cows, pigs, sheep, goats, chickens, ducks, geese, rabbits, mice, parrots, pigeons, turtles,
        hamsters, donkeys, puppies, kittens, lambs, goldfish, snakes, lizards, ponies, spiders, frogs"""
    ),
    "animal_does": _split(
        """barked, ran away, slept all day, climbed a tree, jumped over the fence, drank some water, bit the mailman,
        chased a bird, hid under the porch, crossed the road, looked at us, ate everything, made a funny noise,
        stared at the moon, rolled in the mud, followed us home, scratched the door, swam across the pond"""
    ),
    "body": _split(
        """head, back, neck, shoulder, arm, elbow, wrist, hand, finger, thumb, chest, stomach, leg, knee, ankle, foot,
        toe, ear, eye, nose, tooth, jaw, throat, hip, heel, skin"""
    ),
    "illness": _split(
        """a cold, the flu, a fever, a headache, a cough, a sore throat, a stomach ache, a toothache, an infection,
        an allergy, a rash, a backache, a broken leg, a runny nose, a bad burn, high blood pressure, a twisted ankle"""
    ),
    "sport": _split(
        """football, soccer, baseball, basketball, tennis, golf, hockey, volleyball, rugby, cricket, chess, cards,
        table tennis, badminton, darts"""
    ),
    "instrument": _split("piano, guitar, violin, cello, flute, trumpet, drums, saxophone, harp, clarinet, accordion, banjo, organ"),
    "hobby": _split(
        """swimming, running, cycling, fishing, hiking, dancing, singing, painting, drawing, reading, cooking, baking,
        gardening, sailing, skiing, skating, surfing, camping, knitting, sewing, climbing, traveling, photography,
        pottery, yoga, boxing, wrestling, jogging, hunting, rowing, bowling, shopping"""
    ),
    "subject": _split(
        """history, geography, mathematics, physics, chemistry, biology, music, art, law, medicine, economics, politics,
        philosophy, literature, religion, engineering, algebra, grammar, astronomy, psychology"""
    ),
    "media": _split(
        """movie, song, show, concert, play, novel, podcast, documentary, comedy, cartoon, poem, speech, lecture,
        article, interview, album, musical, opera, magazine, story, game, debate, exhibition"""
    ),
    "vehicle": _split(
        """car, bus, train, truck, taxi, bicycle, motorcycle, boat, ship, plane, ferry, van, tram, scooter, helicopter,
        tractor, canoe, ambulance, limousine, yacht, sled, jeep, wagon, minivan"""
    ),
    "plant": _split(
        """rose, tulip, daisy, lily, sunflower, oak, pine, maple, willow, birch, cactus, fern, bush, hedge, orchid,
        lavender, violet, palm tree, apple tree, vine, herb, mint, basil, parsley"""
    ),
    "color": _split(
        """red, blue, green, yellow, white, black, brown, gray, orange, purple, pink, golden, silver, dark blue,
        light green, bright red, pale yellow"""
    ),
    "material": _split("wood, glass, metal, plastic, paper, cotton, wool, silk, leather, stone, brick, clay, steel, gold"),
    "quality": _split(
        """old, new, big, small, heavy, light, expensive, cheap, broken, beautiful, ugly, useful, useless, strange,
        dirty, clean, wet, dry, soft, hard, round, square, narrow, wide, huge, tiny, long, short, thick, thin, empty,
        full, lovely, modern, ancient, simple, fancy, plain, rusty, dusty, shiny, sharp, fragile, sturdy, rare, common,
        smooth, rough, warm, elegant, practical, wooden, stolen, missing, spare, extra, perfect, terrible, excellent"""
    ),
    "mood": _split(
        """happy, sad, angry, tired, hungry, thirsty, bored, excited, nervous, worried, afraid, proud, lonely, jealous,
        surprised, confused, disappointed, calm, cheerful, upset, sleepy, sick, dizzy, embarrassed, grateful, ashamed,
        relieved, curious, annoyed, busy, ready, lucky, exhausted, homesick, anxious, satisfied, frustrated, furious"""
    ),
    "trait": _split(
        """kind, polite, rude, honest, clever, stubborn, generous, selfish, patient, lazy, shy, brave, funny, serious,
        friendly, quiet, noisy, careful, careless, talented, strict, gentle, wise, foolish, reliable, ambitious,
        charming, modest, creative, sensitive, humble, arrogant, loyal, cruel, sensible, intelligent"""
    ),
    "opinion": _split(
        """boring, exciting, interesting, confusing, fantastic, terrible, disappointing, hilarious, scary, touching,
        brilliant, awful, too long, rather short, surprising, impressive, romantic, dull, ridiculous, fascinating,
        unforgettable, predictable, depressing, inspiring"""
    ),
    "weather": _split(
        """sunny, rainy, cloudy, windy, foggy, stormy, snowy, freezing, chilly, cold, cool, mild, warm, hot, humid, dry,
        icy, damp, gloomy, misty, pleasant, miserable, gorgeous"""
    ),
    "sky": _split(
        """rain, snow, thunder, lightning, a storm, strong wind, sunshine, heavy fog, a shower, hail, frost, a rainbow,
        a hurricane, a flood, clouds, a drizzle, a blizzard, a heat wave"""
    ),
    "weekday": _split("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "month": _split("January, February, March, April, May, June, July, August, September, October, November, December"),
    "season": _split("spring, summer, autumn, fall, winter"),
    "holiday": _split("Christmas, Easter, Thanksgiving, Halloween, New Year, the holidays, my birthday"),
    "when": _split(
        """today, tomorrow, tonight, this morning, this afternoon, this evening, next week, next month, next year,
        at the weekend, at midnight, at noon, in the morning, in an hour, right now, later, soon, after work, after lunch,
        before breakfast, in the spring, in a few minutes, as soon as possible, the day after tomorrow, at sunset"""
    ),
    "ago": _split(
        """yesterday, last night, last week, last month, last year, last summer, two days ago, an hour ago, long ago,
        three weeks ago, this morning, a moment ago, the other day, a few years ago, last spring, earlier today"""
    ),
    "often": _split("always, often, usually, sometimes, never, rarely, seldom, hardly ever, still, frequently"),
    "every": _split(
        """every day, every morning, every night, every week, twice a day, once a month, on weekends, all the time,
        from time to time, almost every evening, three times a week, every other day, once in a while"""
    ),
    "manner": _split(
        """slowly, quickly, carefully, quietly, loudly, happily, sadly, angrily, politely, suddenly, gently, easily,
        badly, perfectly, nervously, patiently, proudly, softly, eagerly, calmly, bravely, secretly, together, alone,
        immediately, accidentally, gladly, lazily, honestly, silently"""
    ),
    "very": _split("very, really, quite, so, pretty, rather, extremely, a little, a bit, too, terribly, incredibly"),
    "surely": _split("probably, definitely, certainly, maybe, perhaps, obviously, apparently, luckily, unfortunately"),
    "reason": _split(
        """it was raining, I was tired, the bus was late, we had no time, the shop was closed, nobody was home,
        there was too much traffic, the weather was bad, I lost my keys, it was too expensive, I felt sick,
        the power went out, my alarm failed, we missed the train, the road was blocked, everyone was asleep,
        the music was too loud, I forgot the address, the elevator was broken, somebody knocked at the door,
        the computer crashed, we were in a hurry, the water was cold, she needed help, he had already left,
        the line was busy, I didn't have any cash, it got dark, the tire was flat, the flight was canceled"""
    ),
    "clause": _split(
        """it rains, you are ready, the guests arrive, the sun comes out, dinner is ready, I get home, school is over,
        the bus comes, we run out of money, you have time, the phone rings, he calls back, she wakes up, it gets dark,
        the shops close, you feel better, the snow melts, we finish work, the lights go out, the show starts,
        anybody asks, they agree, something goes wrong, the baby cries, you see the sign, the price drops"""
    ),
    "exclaim": _split(
        """Wow, Oh no, Good grief, Well, Oh dear, Hooray, Great, Look, Listen, Thank goodness, Believe me, Wait, Hey,
        Of course, Honestly, No way, All right, Sure, Excellent, Sorry, Okay, Yes, No"""
    ),
    "short": _split(
        """Come in please, Have a seat, Take your time, Help yourself, Nice to meet you, See you soon, Never mind that,
        Good morning everyone, That sounds great, It doesn't matter, I'm not sure, You're very welcome, Let's get started,
        Mind your step, I have no idea, We can't wait, They won't listen, Thanks a lot, Be right back, What a mess,
        What a relief, Stop doing that, Leave me alone, Get well soon, Keep it up, I don't care, It's my turn,
        You must be joking, That isn't fair, Who told you that, Why not try again, Here we are, There you go,
        I beg your pardon, Make yourself at home, It serves you right, Good luck out there, Don't be silly"""
    ),
    "device": _split(
        """lights, heating, radio, television, alarm, air conditioner, music, fan, oven, speaker, computer, camera,
        kitchen light, coffee machine, humidifier, porch light, security system, dishwasher, subtitles"""
    ),
    "unit": _split("minutes, hours, days, weeks, months, years, seconds"),
    "measure": _split("miles, pounds, feet, inches, gallons, meters, ounces, yards, acres, degrees, percent, tons"),
    "container": _split(
        "a cup of, a glass of, a bottle of, a pot of, a pint of, two cups of, a jug of, a sip of, some more, plenty of"
    ),
    "event": _split(
        """party, wedding, meeting, concert, exam, interview, festival, funeral, game, race, dance, picnic, trip, lesson,
        conference, parade, auction, barbecue, ceremony, rehearsal, appointment, election, performance, workshop"""
    ),
    "abstract": _split(
        """problem, idea, plan, question, answer, mistake, decision, secret, dream, joke, rumor, message, promise,
        solution, project, habit, chance, rule, excuse, surprise, advantage, difference, opportunity, choice, reason,
        experience, adventure, warning, suggestion, agreement, discovery, argument, disaster, coincidence"""
    ),
}

# One verb a line: base, past, participle, -ing form and what may follow, which may hold slots itself.
_VERBS: Final = tuple(
    tuple(part.strip() for part in line.split(":"))
    for line in """clean cleaned cleaned cleaning: the {room}; the {furniture}; my {clothes}
buy bought bought buying: {a thing}; some {foods}; some {food}; {a clothing}; {a quality} {vehicle}; new {clothes}
sell sold sold selling: the {vehicle}; my {quality} {thing}; the house; some {foods}
find found found finding: my {thing}; the {things}; {a quality} {thing}; a new job; {a color} {clothing}
lose lost lost losing: my {thing}; the {things}; some money; the {event}; weight
cook cooked cooked cooking: {food}; {meal}; {food} with {foods}; some {foods}
eat ate eaten eating: {food}; some {foods}; {food} with {foods}; {meal} in the {room}
drink drank drunk drinking: some {drink}; {container} {drink}; {drink} with {meal}
make made made making: {a abstract}; {container} {drink}; {meal}; some {food}; a cake
bake baked baked baking: some {food}; a dozen {foods}; a pie for the {event}
order ordered ordered ordering: {food}; {a clothing}; {number} {foods}; {container} {drink}
visit visited visited visiting: {city}; {country}; my {relative}; the {place}; {name} in {city}
leave left left leaving: the {place}; my {thing} {on_what}; {city}; early
drive drove driven driving: to {city}; to the {place}; the {vehicle}; through the {nature}; {manner}
walk walked walked walking: to the {place}; the dog; along the {nature}; home {manner}
fly flew flown flying: to {city}; to {country}; a kite; home for {holiday}
travel traveled traveled traveling: to {country}; by {vehicle}; around {country}; from {city} to {city}
move moved moved moving: to {city}; the {furniture}; to {country}; the {furniture} into the {room}
paint painted painted painting: the {furniture} {color}; the {room}; a picture of {a animal}
fix fixed fixed fixing: the {furniture}; the {vehicle}; the {thing}; the {tool}; the roof of the {place}
repair repaired repaired repairing: the {vehicle}; the {furniture}; my {thing}
break broke broken breaking: the {thing}; the {furniture}; a promise; my {body}; the {tool}
wash washed washed washing: the {clothes}; my {clothing}; the dishes; the {vehicle}; the {foods}
wear wore worn wearing: {a clothing}; {a color} {clothing}; my {clothes}; warm {clothes}
carry carried carried carrying: the {thing}; the {things}; {a quality} {thing}; {number} {things}
bring brought brought bringing: the {thing}; some {drink}; the {tool}; some {food} to the {event}
send sent sent sending: {a thing} to {name}; the {things}; a message; flowers to my {relative}
write wrote written writing: a letter; {a media}; to {name}; a report about {subject}; a list
read read read reading: the {media}; a book about {subject}; about {country}; the instructions {manner}
study studied studied studying: {subject}; {language}; for the exam; {subject} in {city}
learn learned learned learning: {language}; about {subject}; from the mistakes; the rules of {sport}
teach taught taught teaching: {language}; {subject}; children; {subject} at the university
speak spoke spoken speaking: {language}; to {name}; {manner}; to the {job}; about the {abstract}
play played played playing: {sport}; the {instrument}; {sport} with {name}; outside
watch watched watched watching: the {media}; the {event}; {a media}; the {animal}; television
hear heard heard hearing: the {animal}; a noise; about the {event}; the {media}
see saw seen seeing: {a animal}; the {job}; {name} at the {place}; the {nature}; {sky}
meet met met meeting: {name}; the {job}; my {relative} at the {place}; new people
call called called calling: {name}; the {job}; a taxi; the {place}; my {relative}
help helped helped helping: {name}; the {job}; my {relative}; {name} with the {event}
ask asked asked asking: {name}; for {a thing}; about the {abstract}; the {job} for help
answer answered answered answering: the phone; the {abstract}; the door
pay paid paid paying: the bill; the rent; for {meal}; the {job}; {price}
borrow borrowed borrowed borrowing: {a thing}; the {tool}; some money; the {vehicle} from {name}
need needed needed needing: {a thing}; {a tool}; some {food}; a vacation; more time
open opened opened opening: the {thing}; the {furniture}; a bank account; {a place}
close closed closed closing: the {furniture}; the {room} door; the curtains
build built built building: a house; a {nature} path; a fire; {a furniture}; a wall of {material}
cut cut cut cutting: the grass; the {food}; my {body}; the {foods}; the ribbon
plant planted planted planting: {a plant}; some {foods}; flowers in the garden
feed fed fed feeding: the {animal}; the baby; the birds
catch caught caught catching: a cold; the {vehicle}; a fish; the {animal}; the last train
miss missed missed missing: the {vehicle}; my {relative}; the {event}; the deadline
wait waited waited waiting: for the {vehicle}; for {name}; at the {place}; {manner}; in line
stay stayed stayed staying: at home; at the hotel; in {city}; awake; with my {relative}
sleep slept slept sleeping: on the floor; all day; in a tent; badly; until noon
work worked worked working: at the {place}; as {a job}; late; with {name}; on the {abstract}
cancel canceled canceled canceling: the {event}; the {event} on {weekday}; the order
plan planned planned planning: {a event}; a trip to {country}; the {event}
forget forgot forgotten forgetting: the {thing}; the {things}; the {event}; the password
remember remembered remembered remembering: the {event}; the {abstract}; the address
swim swam swum swimming: in the {nature}; across the {nature}; {manner}
climb climbed climbed climbing: the {nature}; the stairs; a tree; over the fence
run ran run running: to the {place}; {number} miles; along the {nature}; away
sing sang sung singing: a song; {manner}; in the shower; in {language}
throw threw thrown throwing: the {thing} away; a party; the ball
hide hid hidden hiding: the {things}; the {thing} {on_what}; in the {room}
steal stole stolen stealing: the {thing}; the {vehicle}; some {foods}
win won won winning: the {event}; a prize; {price}; a medal
spend spent spent spending: {price}; the night in {city}; {number} {unit} at the {place}
check checked checked checking: the {thing}; the mail; the {furniture}; the weather
rent rented rented renting: {a vehicle}; a cabin near the {nature}; an apartment in {city}
fold folded folded folding: the {clothes}; the towels; the letter
hang hung hung hanging: the picture; my {clothing}; the {thing} on the wall
choose chose chosen choosing: {a color} {clothing}; the {quality} one; a name
join joined joined joining: the army; the {place} staff; {name} for {meal}; a choir
celebrate celebrated celebrated celebrating: {holiday}; the {event}; the new year
enjoy enjoyed enjoyed enjoying: the {media}; the {event}; {hobby}; the silence
practice practiced practiced practicing: {hobby}; the {instrument}; {language}
invite invited invited inviting: {name}; my {relative} to the {event}; the whole family
explain explained explained explaining: the {abstract}; the rules; the {abstract} to {name}
finish finished finished finishing: the {media}; my homework; the {food}; the report
pack packed packed packing: my {clothes}; the {thing}; the {things}; a lunch""".splitlines()
    if line
)

_PATTERNS: Final = tuple(
    line
    for line in """I {vp past} {ago}.
We {vp past} {ago}.
{subj} {vp past} {ago}.
{group} {vp past} {ago}.
I'll {vp base} {when}.
We'll {vp base} {when}.
{subj} will {vp base} {when}.
They won't {vp base} this time.
I'm going to {vp base} {when}.
{subj} is going to {vp base}.
We're {vp ing} {when}.
I'm {vp ing} at the moment.
{subj} is {vp ing}.
{group} are {vp ing}.
I was {vp ing} when {name} called.
{subj} was {vp ing} when I arrived.
While I was {vp ing}, {subj} {vp past}.
I've never {vp pp}.
Have you ever {vp pp}?
{subj} has already {vp pp}.
We haven't {vp pp} since {month}.
I had just {vp pp} when {subj} came in.
I don't want to {vp base}.
I can't {vp base} {when}.
We couldn't {vp base} because {reason}.
I didn't {vp base} because {reason}.
{subj} didn't {vp base} {ago}.
{subj} {often} {vp s}.
I {often} {vp base} on {weekday}.
{subj} {vp s} {every}.
Do you {often} {vp base}?
Does {subj} {vp base}?
Did {subj} {vp base}?
Did you {vp base} {ago}?
Will {subj} {vp base} {when}?
Can you {vp base} {when}?
Could you please {vp base}?
Would you like to {vp base}?
Should we {vp base} or {vp base}?
Why did {subj} {vp base}?
Why don't we {vp base}?
When will {group} {vp base}?
How often do you {vp base}?
Where did {group} {vp base}?
Who is going to {vp base}?
Let's {vp base}.
Let's not {vp base} {when}.
Please {vp base}.
Don't {vp base}!
Never {vp base} while {vp ing}.
You should {vp base} before {clause}.
You must not {vp base}.
We have to {vp base} before {time}.
I'd like to {vp base}, please.
I'd rather {vp base} than {vp base}.
If {clause}, we'll {vp base}.
If {clause}, {subj} will {vp base}.
When {clause}, I {often} {vp base}.
As soon as {clause}, we can {vp base}.
I won't {vp base} unless {clause}.
{subj} wants to {vp base}.
{subj} wants me to {vp base}.
{subj} asked us to {vp base}.
{subj} promised to {vp base} {when}.
{subj} said that {group} {vp past}.
I think {subj} {vp past}.
I hope {subj} doesn't {vp base}.
I wish I could {vp base}.
I used to {vp base} {every}.
{subj} is tired of {vp ing}.
I enjoy {hobby}, but {subj} prefers {hobby}.
{hobby} is more fun than {hobby}.
Instead of {vp ing}, we {vp past}.
After {vp ing}, {subj} {vp past}.
Before {vp ing}, I {often} {vp base}.
It's {very} {weather} {when}.
It's {weather} outside.
It was {very} {weather} in {city} {ago}.
Will there be {sky} on {weekday}?
There was {sky} in {state} {ago}.
The forecast says {sky} for {weekday}.
I like {weather} days in {season}.
{season} in {country} is usually {weather}.
The {nature} looks {quality} in {season}.
Is it {weather} in {city}?
It's {number} degrees and {weather}.
I'm {very} {mood}.
Are you {mood}?
{subj} is {very} {mood} {when}.
{subj} was {mood} because {reason}.
{group} were {very} {mood}.
Why are you so {mood}?
You look {mood}, {name}.
Don't be {mood}.
{subj} seems {trait}, but {name} is {trait}.
{name} is {very} {trait}.
My {relative} is {a trait} person.
What {a trait} {job}!
What {a quality} {thing}!
How {quality} your {furniture} is!
That's {a quality} {thing}.
This {thing} is {very} {quality}.
This {thing} isn't {quality}, it's {quality}.
These {things} are {quality}.
Those {clothes} are too {quality} for {name}.
Is this your {thing}?
Whose {clothing} is this?
Where are my {things}?
Where is the {thing}?
The {thing} is {on_what}.
Your {things} are {on_what}.
I put the {thing} {on_what}.
There's {a thing} {on_what}.
There isn't any {food} {on_what}.
There are {number} {things} {on_what}.
Do you have {a color} {clothing}?
I'm looking for {a quality} {thing}.
How much does the {thing} cost?
How much are these {clothes}?
The {thing} costs {price}.
These {clothes} cost only {price}.
I paid {price} for the {vehicle}.
Can I try on the {color} {clothing}?
It's {price} for {number} {foods}.
I'd like {container} {drink}.
We need {foods}, {foods} and {food}.
Is there any {food} left?
The {food} tastes {taste}.
The {foods} were {very} {taste}.
Would you like {food} or {food}?
I'll have the {food} with {foods}, please.
My {relative} doesn't eat {food}.
What's for {meal}?
{meal} will be ready in {number} minutes.
{name} ordered {food} and {container} {drink}.
I've run out of {food}.
Add {food} to my shopping list.
Put {number} {foods} in the bowl.
What time is the {event}?
The {event} starts at {time}.
The {event} is on {date}.
The {place} opens at {time} on {weekday}.
The {place} closes at {time}.
My birthday is on {date}.
Wake me up at {time}.
Set {a event} reminder for {weekday} at {time}.
Remind me to {vp base} at {time}.
Remind me about the {event} on {date}.
Set a timer for {number} minutes.
Turn on the {device}.
Turn off the {device} at {time}.
Please switch the {device} off {when}.
Call {name} {when}.
Send a message to {name} {surname}.
Tell {name} that I'm {vp ing}.
Ask {name} about the {event}.
How do you say {thing} in {language}?
What's the weather like in {city}?
Play some {instrument} music in the {room}.
How far is it from {city} to {city}?
How do I get to the {place}?
Is the {place} far from the {place}?
The {place} is across from the {place}.
Turn left at the {place}, then go past the {place}.
It takes {number} {unit} to reach {city}.
The {vehicle} to {city} leaves at {time}.
The next {vehicle} arrives in {number} {unit}.
Two tickets to {city}, please.
{subj} came back from {country} {ago}.
I was born in {city} in {month}.
{name} lives in {city}, near the {place}.
{name} is from {country} and speaks {language}.
I've lived in {state} for {number} years.
My {relative} works as {a job} in {city}.
{name} wants to become {a job}.
The {job} told us {a abstract}.
Doctor {surname} is the best {job} in {city}.
Professor {surname} teaches {subject}.
Miss {surname} is our new {job}.
My name is {name} {surname}.
This is {name}, my {relative}.
Have you met {name} {surname}?
{name} and {name} are {vp ing}.
Either {name} or {name} will {vp base}.
Neither {name} nor {name} {vp past}.
My {body} hurts.
My {body} hurts when I {vp base}.
I think I have {illness}.
{subj} had {illness} {ago}.
{name} hurt the left {body} while {vp ing}.
Take this medicine {every}.
The {animal} {animal_does}.
{a quality} {animal} {animal_does} {ago}.
My {relative} has {a animal} and {number} {animals}.
I'm afraid of the {animal}.
Look at that {animal}!
The {media} was {very} {opinion}.
Have you seen the {media} about {country}?
It was {a opinion} {media}, {surely}.
The {media} was {opinion}, but the {media} was {opinion}.
That's {a opinion} {abstract}.
I have {a abstract}.
We made {a abstract} about the {event}.
{surely}, {subj} {vp past}.
{exclaim}, {subj} {vp past}!
{exclaim}, the {thing} is {quality}!
{exclaim}, I {vp past}.
{exclaim}, let's {vp base}.
{exclaim}, that {media} was {opinion}!
{short}.
{short}, {name}.
{exclaim}, {name}!
Happy birthday, {name}!
Good morning, {name}, how are you?
See you on {weekday}, {name}!
Thanks for {vp ing}, {name}.
Congratulations on the {event}, {name}!
The {furniture} in the {room} is {quality}.
We need a new {furniture} for the {room}.
Who left the {thing} in the {room}?
The {color} {furniture} doesn't fit in the {room}.
My {clothing} is made of {material}.
Is this {thing} made of {material} or {material}?
The {plant} in the {room} needs water.
{a plant} grows next to the {place}.
The {tool} is in the {room}, I think.
It's about {number} {measure}.
The {nature} is {number} {measure} from the {place}.
We have {number} {things} and {number} {foods}.
The number is {digits}.
My phone number is {digits}.
It happened in {year}.
We bought the house in {year}.
{subj} left on the {ordinal} of {month}.
The {ordinal} {thing} is {quality}.
I live on the {ordinal} floor.
That was {name}'s {thing}.
{name}'s {relative} is {a job}.
{name}'s {thing} is {on_what}.
The {job} who {vp past} was {very} {trait}.
The {thing} that I bought in {city} is {quality}.
I know that {subj} is {mood}.
I don't know why {subj} {vp past}.
I don't know where the {thing} is.
Do you know what {subj} said about the {event}?
Although it was {weather}, {group} {vp past}.
Since {clause}, you may {vp base}.
It's too {weather} to {vp base}.
It's {manner} done, {name}.
{subj} {vp past} {manner}.
Nobody {vp past} {ago}.
Somebody {vp past}, didn't they?
Everybody was {vp ing} {ago}.
You don't have to {vp base}, do you?
You're {mood}, aren't you?
{subj} isn't {mood}, is that right?
Is {subj} coming for {meal}?
Are {group} coming to the {event}?
I couldn't have {vp pp} without {name}.
We should have {vp pp}.
{subj} might {vp base} during {holiday}.
What are you doing on {weekday}?
What did {name} do at the {place}?
Which {clothing} do you like, the {color} or the {color} one?
I like the {color} {thing}, but not the {quality} {thing}.
The {quality} {thing} belongs to {name}.
It's not my {thing}, it's {name}'s.
We met {name} at the {event} in {city}.
The {nature} near {city} is {quality}.
{country} is famous for its {foods}.
They play {sport} at the {place} on {weekday}.
Our team lost the {sport} game by {number} points.
{name} plays the {instrument} {manner}.
{subj} failed the {subject} exam.
My favorite subject is {subject}.
My favorite color is {color}.
Do you like {hobby}?
I'm good at {hobby}.""".splitlines()
)

_SLOT: Final = re.compile(r"\{([a-z_ ]+)\}")
_FORMS: Final = {"base": 0, "past": 1, "pp": 2, "ing": 3}
_SINGULAR_ARTICLE: Final = re.compile(r"^[aeiou]", re.IGNORECASE)
_YEW_WORDS: Final = ("uni", "use", "euro", "one")  # spelled with a vowel, spoken with a consonant


def spell_number(value: int) -> str:
    """Say a whole number of 0..9999 in words, without hyphens: 125 is `one hundred twenty five`.

    Raises:
        ValueError: The number is outside that range.
    """
    if not 0 <= value <= 9999:
        raise ValueError(f"only 0..9999 can be spelled: {value}")
    if value < 20:
        return _UNITS[value]
    if value < 100:
        return _TENS[value // 10] + (f" {_UNITS[value % 10]}" if value % 10 else "")
    size, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    rest = value % size
    return f"{spell_number(value // size)} {name}" + (f" {spell_number(rest)}" if rest else "")


def _number(rng: random.Random) -> str:
    return spell_number(rng.choice((rng.randint(2, 12), rng.randint(2, 99), rng.randint(10, 30), rng.randint(100, 999))))


def _time(rng: random.Random) -> str:
    hour = spell_number(rng.randint(1, 12))
    minutes = ("five", "ten", "fifteen", "twenty", "twenty five", "thirty", "forty", "forty five", "fifty")
    return rng.choice(
        (
            hour,
            f"{hour} o'clock",
            f"half past {hour}",
            f"a quarter to {hour}",
            f"a quarter past {hour}",
            f"{hour} {rng.choice(minutes)}",
            f"{rng.choice(('ten', 'twenty', 'five'))} to {hour}",
            "noon",
            "midnight",
        )
    )


def _price(rng: random.Random) -> str:
    amount = spell_number(rng.choice((rng.randint(2, 99), rng.randint(1, 20) * 5, rng.randint(1, 90) * 100)))
    return f"{amount} {rng.choice(('dollars', 'dollars', 'euros', 'pounds', 'cents'))}"


def _ordinal(rng: random.Random) -> str:
    value = rng.randint(1, 31)
    if value <= 20:
        return _ORDINALS[value - 1]
    return "thirtieth" if value == 30 else f"{_TENS[value // 10]} {_ORDINALS[value % 10 - 1]}"


def _date(rng: random.Random) -> str:
    month, day = rng.choice(_LISTS["month"]), _ordinal(rng)
    return rng.choice((f"{month} {day}", f"the {day} of {month}"))


def _year(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"two thousand {spell_number(rng.randint(1, 9))}"
    return f"{rng.choice(('eighteen', 'nineteen', 'nineteen', 'twenty'))} {spell_number(rng.randint(10, 99))}"


def _digits(rng: random.Random) -> str:
    return " ".join(rng.choice(_UNITS[:10]) for _ in range(rng.randint(3, 7)))


def _subject(rng: random.Random) -> str:
    return rng.choice(
        (
            rng.choice(("he", "she")),
            rng.choice(_LISTS["name"]),
            f"{rng.choice(('my', 'my', 'your', 'his', 'her', 'our'))} {rng.choice(_LISTS['relative'])}",
            f"the {rng.choice(_LISTS['job'])}",
        )
    )


_COMPUTED: Final[Mapping[str, Callable[[random.Random], str]]] = {
    "number": _number,
    "time": _time,
    "price": _price,
    "ordinal": _ordinal,
    "date": _date,
    "year": _year,
    "digits": _digits,
    "subj": _subject,
}


def _third_person(base: str) -> str:
    if base.endswith(("s", "sh", "ch", "x", "z", "o")):
        return base + "es"
    return base[:-1] + "ies" if re.search(r"[^aeiou]y$", base) else base + "s"


def _with_article(phrase: str) -> str:
    vowel = _SINGULAR_ARTICLE.match(phrase) and not phrase.lower().startswith(_YEW_WORDS)
    return f"{'an' if vowel or phrase.startswith(('honest', 'hour')) else 'a'} {phrase}"


def _verb_phrase(rng: random.Random, form: str) -> str:
    verb, objects = rng.choice(_VERBS)
    forms = verb.split()
    head = _third_person(forms[0]) if form == "s" else forms[_FORMS[form]]
    return f"{head} {rng.choice(objects.split(';')).strip()}"


def _fill(rng: random.Random, slot: str) -> str:
    kind, _, form = slot.partition(" ")
    if kind == "vp":
        return _verb_phrase(rng, form)
    if kind == "a":
        return _with_article(rng.choice(_LISTS[form]))
    computed = _COMPUTED.get(kind)
    return computed(rng) if computed else rng.choice(_LISTS[kind])


def _compose_one(rng: random.Random) -> str | None:
    """Fill one pattern; None where the result repeats a word side by side or is out of length."""
    text = rng.choice(_PATTERNS)
    while match := _SLOT.search(text):
        text = text[: match.start()] + _fill(rng, match.group(1)) + text[match.end() :]
    words = text.lower().replace(",", "").rstrip(".?!").split()
    content = [word for word in words if len(word) > 4 and word not in _UNITS]
    clash = any(left == right and left not in _UNITS for left, right in pairwise(words))
    if clash or len(set(content)) < len(content) or not MIN_WORDS <= len(words) <= MAX_WORDS:
        return None
    return text[0].upper() + text[1:]


def compose_sentences(rng: random.Random, count: int) -> list[str]:
    """Compose distinct sentences of `MIN_WORDS`..`MAX_WORDS` words, the same ones for the same state of `rng`.

    Returns:
        `count` sentences of letters, spaces, apostrophes and commas, each ending in `.`, `?` or `!`.

    Raises:
        ValueError: `count` is more than the grammar can give.
    """
    found: dict[str, None] = {}
    stale = 0
    while len(found) < count:
        sentence = _compose_one(rng)
        stale = 0 if sentence and sentence not in found else stale + 1
        if stale > _STALE_LIMIT:
            raise ValueError(f"the grammar gave {len(found)} distinct sentences, not {count}")
        if sentence:
            found[sentence] = None
    return list(found)
