"""The words instruction.py knows: what is politeness, what is a verb, what joins, what negates. Data only."""

from __future__ import annotations

from refseg_ros.core.word_tables import entries, words

# Dropped wherever they stand: sounds and courtesies that carry nothing.
NOISE = frozenset(["um", "umm", "uh", "uhh", "er", "erm", "ehm", "hmm", "hm", "oh", "ah", "please", "pls", "kindly"])

# When and how to do it: dropped at the start and at the end of a part, and where they are all of it.
_MANNERS = entries("""
slowly | carefully | gently | quickly | asap | as soon as possible | as soon as you can | when you're done
when you are done | when you're ready | when you are ready | when you're finished | when you are finished
once you're done | once you are done | when you have time | when you have a moment | when you get a chance
if you have time | if you have a moment | if you don't mind | if it's not too much trouble
if it is not too much trouble | whenever you're ready | if that's okay | if that's ok
""")
# Dropped where they are all that is said between two joints: courtesies, warnings, praise.
ASIDES = _MANNERS | entries("""
be careful | careful | be careful with it | be careful with them | be careful with that | careful with it
careful with that | careful with them | very careful | be very careful | be gentle | gentle | be gentle with it
be quick | be patient | watch out | look out | good job | great job | nice job | well done | nice work
good work | great work | nice one | great | perfect | awesome | excellent | fantastic | wonderful | brilliant
very good | very nice | sounds good | good | nice | cool | hurry | hurry up | quick | come on | go ahead | go on
take your time | take care | no need to hurry | not too fast | not so fast | not too quickly | slow down
nice and slow | thank you so much | thanks so much | many thanks | thank you very much | much appreciated
thanks | thank you | cheers | that's it | that is it | that's all | that is all | that's fine | that's right
that will be all | that'll be all | don't worry | do not worry | dont worry | there you go | here you go
there we go | here we go | it's okay | it's ok | it's fine | it's urgent | it is urgent | i'm in a hurry
you're welcome | how are you | yeah | yep | sure | of course | good robot | robot | stop | stop it | stop there
come back | come here | come over | come over here | stay | stay there | stay here | if there is none
if there are none | if not | otherwise stop | if there isn't one | if there isn't any | if there aren't any
if there is no such thing | if it's not there | if it isn't there | if you can't find it | if you can't find one
if you cannot find it | if you cannot find one | if you don't see it | if you don't see one | if it's missing
go back | go there | go home | go away | turn around | i'm thirsty | i am thirsty | i'm hungry | i am hungry
i'm cold | i am cold | i'm hot | i am hot | i'm tired | i am tired | it's hot | it's cold | it's dark | it's late
""")

# Dropped at the start of a part of the instruction.
OPENERS = _MANNERS | entries("""
hey | hi | hello | ok | okay | alright | all right | well | so | now | then | next | also | first of all
finally | lastly | firstly | secondly | first | yes | right then | hey robot | hi robot | hello robot
ok robot | okay robot | robot
dear robot | good morning | good evening | could you | would you | can you | will you | could we | can we
may i | can i | could i | can i have | could i have | may i have | would you mind
would you be so kind as to | be so kind as to | be so kind and | if you could | if you can | if possible
could you maybe | maybe | perhaps | just | simply | also please | for me
i want you to | i want | i would like you to | i would like | i'd like you to | i'd like | i need you to
i need | i wish | i would like to have | i'd like to have | i want to have | i'd love | i am looking for
i'm looking for | i was wondering if you could | we want | we need | we would like | we'd like | let's
let us | you should | you must | you need to | you have to | go ahead and | go and | go | try to | try and
make sure to | be careful and | your task is to | help me | where is | where are | where's | is there
are there | there is | there are | do you see | can you see | do you have | tell me where is | which
which one is | how many | what about | how about | i mean | i meant | i said | you know | sort of | kind of
don't forget | don't forget to | do not forget | do not forget to | dont forget | dont forget to
never forget | never forget to | why don't you | don't you | can't you | couldn't you | won't you
wouldn't you | no rush | no hurry | no worries | no problem | no thanks | no thank you | sorry about that
sorry to bother you | excuse me | wait a second | wait a minute | wait a moment | hold on | one moment
one second | actually | sorry | let me have | let me see | let me get | lemme see | lemme have | gimme
not only | not just | not merely | not simply | what color is | what colour is | what color are | what colour are
what is the color of | what is the colour of | what's the color of | what's the colour of | what kind of
what sort of | i think | i think that | i believe | i believe that | i guess | i suppose | have you seen
did you see | where did i put | where did you put | where did i leave | where did you leave | where have i put
where have you put | do you know where | any idea where | can you tell me where | do you know where is
if there is | if there's | if there are | if you see | if you can see | if you find | there should be
there must be | there might be | there's | you see | only if you see | only if there is | only if there's | if
what i want is | what i need is | all i want is | all i need is | yo | listen | hey there | hi there
go back and | come back and | go over and | go over there and | walk over and
how big is | how big are | how small is | how tall is | how tall are | how long is
how wide is | how heavy is | how heavy are | how far is | how far away is | how old is | how full is | how hot is
""")

# Dropped at the end of a part of the instruction.
CLOSERS = _MANNERS | entries("""
for me | to me | for us | to us | here | over here | right now | now | thanks | thank you | thank you very much
thank you so much | thanks so much | many thanks | thanks a lot | cheers | thanks robot | thank you robot
if you can | if you could | if possible
when you can | not too fast | not so fast | is that | is this
as well | too | would you | will you | could you | can you | again | okay
ok | at once | immediately | alone | are there | is there | do you see | can you see | do you have | you see
actually | sorry | is | are | anywhere | if there is one | if there's one | if there are any | if there is any | if any
if you see one | if you see it | if you see any | if you find one | if you find it | if you can find it
if you can find one | if you can see it | where it was | back where it was | where it belongs
back where it belongs | where you found it | back where you found it | in its place | back in its place
""")

# Somebody takes back what was just said: wherever they stand, or where what follows sets it right.
CORRECTIONS = entries("""
no wait | no no | no no no | no actually | no sorry | no i mean | no i meant | wait no | sorry no | actually no
or rather | make that | scratch that | strike that | not that | not that one | no not that | no not that one
never mind that | never mind , | sorry i mean | sorry i meant | oops i mean
""")
# The same, where nothing follows before the next joint.
TAKEN_BACK = entries("""
never mind | nevermind | never mind it | forget it | forget that | forget about it | forget about that | cancel that
cancel it | cancel
""")
SOFT_CORRECTIONS = entries("no | wait | sorry | oops | actually | i mean | i meant | correction")

# Verbs that never begin a noun phrase.
VERBS = entries("""
pick up | pick | picking up | pick out | grab | grab hold of | grabbing | grasp | grasping | get
get hold of | getting | fetch | bring | bring over | bringing | take | take out | take hold of | take away
taking | give | giving | find | find out where | finding | locate | segment | segment out | identify
detect | select | highlight | point at | point to | point out | point me to | look at | look for
looking for | search for | reach for | show me | show me where is | hand me | hand us | hand over
pass me | pass us | collect | gather | remove | move over to | choose | tell me where | bring back | put
put away | put down | putting | insert | throw away | pour | hold onto | hold on to | pick me | pick me up
see | want | need | go to | move to | have | drive to | navigate to | have a look at | describe | deliver
""")

# Verbs only where a determiner, number or pronoun follows: "open the box" but "the open box", "watch" or "place mat".
MAYBE_VERBS = entries("""
show | mark | outline | label | mask | lift | lift up | hold | hold up | move | place | drop | drop off
set | set down | push | pull | open | close | touch | clear | clean | clean up | throw | track | follow
watch | spot | separate | cut out | hand | pass | stack | store | turn | wipe | wash | ship | sort | load
return | point | use | empty | fill | shake | check | draw | paint | transfer | lay | lay down | carry
slide | tidy up | keep | flip | flip over | rotate | turn over | turn around | turn on | turn off | switch on
switch off | power on | power off | plug | plug in | unplug | count | list | rinse | toss | hang | hang up | cut
cut up | reach | press | twist | screw | unscrew | peel | chop | slice | cook | heat | heat up | warm up | boil
scrub | dry | sweep | fold | unfold | serve | swap | exchange | replace | align | straighten | center | cover
uncover | wrap | unwrap | tie | untie | stir | mix | scoop | spread | weigh | measure | inspect | examine | scan
position | arrange | organize | organise | attach | detach | connect | disconnect | lock | unlock | hide | raise
lower | tilt | shift | nudge | stick | lean | dump | handing | passing | showing | fetching | moving | reaching
placing | lifting | opening | closing | carrying | sliding | cleaning | throwing | picking | spill | break
crush | squeeze | tip | tip over | knock | knock over | hit | damage | scratch | bump | hurt | switch | power
""")
# Whatever else stands before one of these at a part's start is a verb as well ("flip the mug") ...
OBJECTS = words("the a an this that these those my your his her its our their all every each both another")
# ... but these: what is no noun, no adjective and no verb there.
NO_VERBS = words("""
about across after along amid among around before beyond despite during for like opposite outside past per since
than through throughout till toward towards until up via within without as if when while because so nor yet half
such quite rather twice which what who whose
""")
# Not to do these is care for the thing, no refusal of it, where the thing is asked for later: "don't drop it".
CAUTIONS = words("drop spill break crush squeeze tip knock hit damage scratch bump hurt shake careful")
# To be careful with something is no refusal of it either, and asks for nothing: its verb is "careful".
CARES = entries("""
careful with | be careful with | be very careful with | very careful with | be gentle with | gentle with
careful of | be careful of | watch out for | look out for | beware of
""")
CAREFUL = "careful"
# What no model can find: "don't hurt yourself", "don't touch anything else".
NOBODY = words("anything else anyone anybody everyone myself yourself himself herself ourselves yourselves")

# After these, "X in Y" and "X on Y" name a thing and a place: both are asked.
PLACING = words("""
put putting place placing move moving insert pour set drop throw stack store transfer lay load return deliver
slide hang toss position arrange attach connect plug hide stick lean dump spread
""")
# After these, "a bit to the left" says how far and where to, and not which thing.
MOVING = words("""
move moving slide sliding push pull shift nudge turn flip rotate tilt lean put putting place placing set
""")
DIRECTIONS = entries("""
to the left | to the right | to the back | to the front | to the side | to your left | to your right | to my left
to my right | towards the left | towards the right | left | right | forward | forwards | back | backward | backwards
sideways | upwards | downwards | upside down
""")
BITS = entries("""
a bit | a little | a little bit | a bit more | a little more | slightly | closer | a bit closer | a little closer
further | a bit further | a little further | further away | farther | farther away | away
""")
LENGTHS = words("""
cm mm centimeter centimeters centimetre centimetres millimeter millimeters millimetre millimetres inch inches meter
metre meters metres foot feet degree degrees
""")
SWAPPING = words("swap exchange replace fill")  # "swap X for Y", "replace X with Y", "fill the glass with water"
SWAPPED = entries("with | for")
# After these, what one of those is done with is a thing of its own: "cut the bread with the knife".
TOOLED = words("cut chop slice peel wipe clean scrub wash dry sweep stir mix scoop spread")
TOOLS = words("""
knife scissors shears sponge cloth towel rag brush broom mop tissue napkin spoon fork whisk spatula ladle
""")
DURATIONS = words("second seconds minute minutes sec secs min moment while")  # "hold the mug for 5 seconds"
HANDS = words("hand hands arm arms gripper grippers fingers")  # "with your left hand"
# "the bottle with a red cap and a white label" is one thing.
FEATURES = words("""
cap caps label labels lid lids handle handles logo logos sticker stickers pattern patterns rim stripe stripes dot dots
text lettering letters writing print spout straw cork tag band
""")
# "take the pan by the handle": how to take it.
GRIPS = words("handle handles rim neck edge edges side sides top stem base lid body corner corners")
SWITCHING = words("turn switch power plug put")  # "turn the stove on"
PLACES = entries("""
in | into | inside | on | onto | on top of | upon | under | underneath | below | beneath | behind | beside
next to | near | in front of | to | over | above | between | against | left of | right of | to the left of
to the right of | on the left of | on the right of | at the left of | at the right of
on the left side of | on the right side of | to the left side of | to the right side of | in the middle of
in the center of | in the centre of | on the edge of | at the edge of | on the top of | at the top of
on the bottom of | at the bottom of | back in | back on | back into | back onto | back to
""")
# Of those, the ones that also tell one thing from another: "put the mug on the plate next to the milk".
BESIDE = entries("""
under | underneath | below | beneath | behind | beside | next to | near | in front of | above | between
against | left of | right of | to the left of | to the right of | on the left of | on the right of
at the left of | at the right of | on the left side of | on the right side of | to the left side of
to the right side of
""")
# After any verb, these name where a thing is taken from.
SOURCES = entries("from | out of | off | off of | away from | from inside | from the top of | from within")
# After a verb of bringing, "to" names where a thing goes.
CARRYING = words("bring bringing take carry fetch fetching give deliver get hand handing pass passing")
GOALS = entries("to | over to | back to")
# After these, "to" and "from" belong to a relation: "closest to", "farthest from".
TOUCHING = words("next close closer closest nearest nearer adjacent something")
APART = words("far farther farthest further furthest away distant")
ABBREVIATIONS = words("dr mr mrs ms st no vs co inc jr sr")
# ... unless a side follows, which belongs to the phrase: "second from the left", "on the right".
SIDES = words("""
left right top bottom front back far middle center centre end side ground you
""")

PARTICLES = words("up down out off over away back around")
PRONOUNS = words("""
it them me us you him he she they i itself themselves something somewhere there here
""")

DETERMINERS = words("""
the a an this that these those my your his her its our their all every everything each both any anything
some several many few one two three four five six seven eight nine ten eleven twelve another other me us
it them him what whatever
""")
NUMBERS = {
    word: value
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
UNITS = words("""
liter litre liters litres l ml cl kg g gram grams oz ounce cm mm inch inches watt volt percent
""")
BEFORE_NOUNS = words("the my your our these those all any")
# Before a number these do not hide it: "exactly two mugs", "the other two mugs".
BEFORE_NUMBERS = BEFORE_NOUNS | words("""
other first last next nearest closest farthest furthest leftmost rightmost left right top bottom upper lower front
back biggest largest smallest tallest shortest longest remaining exactly precisely only just
""")
BOUNDS = entries("up to | at most | at least | no more than | not more than | no less than | no fewer than")
DOZENS = {"": 12, "a": 12, "half a": 6, "half": 6, "a half": 6}  # what stands before "dozen"
PLURAL_WORDS = words("""
all every everything each any anything these those several some many few various
""")
SOLE_PAIRS = words("""
scissors pliers tongs glasses sunglasses tweezers shears trousers pants jeans shorts binoculars
""")
WORN = words("""
my your his her reading safety swimming prescription protective sun eye
""")  # before "glasses": a pair, and no drinking glasses
ALL_OF_THEM = entries("all of them | all of those | all of these | both of them | each of them | every one of them")
IRREGULAR_PLURALS = words("""
people children men women mice dice geese feet teeth fish oxen cacti fungi sheep leaves
""")
IRREGULAR_SINGULARS = {
    "people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse", "dice": "die",
    "knives": "knife", "loaves": "loaf", "leaves": "leaf", "shelves": "shelf", "feet": "foot", "teeth": "tooth",
    "cookies": "cookie",
}  # fmt: skip
SINGULAR_S = words("""
gas lens canvas atlas christmas molasses bus plus always this its us his yes is has was chess swiss
cheerios pringles doritos oreos skittles pocky cheez-its series species news chassis iris asparagus hummus
citrus cactus left-most lays starbucks kleenex levis mars
""")

CONJUNCTIONS = entries("""
and | & | + | and/or | plus | as well as | along with | together with | or | nor | but | then | and then | and also
and after that | after that | followed by | and finally | but also | and then also
""")
EXCEPT = entries("""
except | except for | except from | excepting | excluding | apart from | other than | rather than
instead of | aside from | but not | and not | or not | but no | and definitely not
""")
NEGATIONS = (
    entries("""
i don't want | i do not want | i dont want | i don't need | i do not need | we don't want | don't want
i don't like | i do not like | i dont like | we don't like | we do not like | we dont like | i hate | we hate
be careful not to | careful not to | make sure not to | be sure not to | try not to
i don't want you to | i do not want you to | anything but not | under no circumstances
not | no | never | neither | without | definitely not | certainly not | don't | do not | dont
please don't | must not | mustn't | should not | shouldn't | cannot | can't | but not | avoid | ignore
forget | forget about | never mind
skip | leave | leave out | leave alone | exclude | spare | keep away from | stay away from | don't touch
do not touch | don't ever
""")
    | EXCEPT
)
EVERYTHING = words("everything anything all every each everyone whatever any")
WHATEVER = entries("""
what is | what's | what are | what's there | what is there | whatever is | whatever's | what do you see
what can you see | what do you have
""")
ONLY = entries("nothing but | nothing else but | nothing except | nothing else except | nothing other than | none but")

# A part that begins with one of these goes on with the phrase before it.
CONTINUERS = words("""
that which who whose is are was were isn't aren't has have with in into on onto at of inside under underneath below
above over behind beside next near nearest closest between left right leftmost rightmost in-front facing
standing lying sitting being to by from made containing wearing holding against beneath upon touching
""")
# What they are followed by belongs to them: "standing alone", "turned off", "rolled up".
POSTURES = words("""
standing lying laying sitting leaning hanging facing looking pointing turned flipped tipped knocked rolled folded
switched powered plugged upside
""")
COPULAS = words("is are was were be being that's it's isn't aren't which's looks")

# "X and Y" that names one thing: a dish, a flavour, a make.
COMPOUNDS = entries("""
macaroni cheese | mac cheese | fish chips | pork beans | beans franks | franks beans | cookies cream
gin tonic | salt vinegar | honey mustard | cheese onion | cheese crackers | cheese chive | sweet sour
sour cream | cream onion | sour-cream onion | head shoulders | arm hammer | arm-and hammer | surf turf
black white | black decker | ben jerry's | bed breakfast | johnson johnson | m m | m m's | dolce gabbana
procter gamble | strawberries cream | spaghetti meatballs | biscuits gravy | mix match | barnes noble
bang olufsen | rum coke
""")
# "X and Y" that names one thing where a noun follows: "the salt and pepper shaker", but "the salt and pepper".
PAIRED = entries("""
salt pepper | bread butter | butter jelly | jelly jam | ham eggs | eggs ham | bacon eggs | rice beans
oil vinegar | vinegar oil | milk honey | ham cheese | peas carrots | nuts bolts | nut bolt | cup saucer
mortar pestle | hook loop | lock key | bow arrow | chips salsa | chips dip | lemon lime | knife fork
washer nut | dustpan brush
""")

COLOURS = words("""
red green blue yellow white black brown purple pink grey gray violet turquoise cyan magenta beige golden
silvery teal maroon navy transparent clear dark light bright striped dotted colorful colourful reddish
greenish bluish
""")
NOUN_COLOURS = words("orange lime peach olive gold silver chocolate cream rose plum mint")
ADJECTIVES = COLOURS | words("""
big bigger biggest small smaller smallest large larger largest tall taller tallest short shorter shortest
long longer longest thin thick wide narrow tiny huge little heavy round flat full open closed clean dirty
new old shiny matte wooden metallic plastic ceramic rectangular cylindrical circular oval spherical soft
hard broken ripe left right leftmost rightmost top bottom upper lower front rear middle central nearest
closest farthest furthest first second third fourth fifth last other same very deep shallow fresh cold hot
warm half-full
""")

# A particle after one of these is no verb's: "at the back", "that is off", "farthest away".
THE = words("the")
BEFORE_PARTICLES = THE | COPULAS | APART | words("at in on from to near toward towards")
# "left of", "nearest the", "closest me"; but "left mug" and "left one".
AFTER_SIDES = CONTINUERS | OBJECTS | words("me us it them him")
