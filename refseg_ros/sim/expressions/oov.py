"""Household things that no object of the catalogue, no shape beside them and nothing in the room can be called."""

from __future__ import annotations

# Left out on purpose: words that could fit after all, as jug, kettle, vase, glass, jar, folder, saucer, ball or orange.
OUT_OF_VOCABULARY = tuple(
    word.strip()
    for word in """
    stapler, pair of scissors, banana, apple, pear, strawberry, pineapple, watermelon, grape, cherry, mango, coconut,
    avocado, carrot, cucumber, broccoli, cauliflower, lettuce, cabbage, onion, garlic bulb, potato, pumpkin, eggplant,
    mushroom, egg, sausage, sandwich, pizza, hamburger, hot dog, donut, croissant, birthday cake, muffin, pretzel,
    lollipop, ice cream cone, chicken leg, fish, shrimp, fork, knife, spoon, teaspoon, chopstick, ladle, spatula, whisk,
    rolling pin, cutting board, cheese grater, corkscrew, can opener, bottle opener, potato peeler, colander, sieve,
    funnel, pair of tongs, toaster, blender, microwave oven, mixer, rice cooker, electric iron,
    hair dryer, vacuum cleaner, broom, dustpan, mop, sponge, scrubbing brush, dish towel, rubber glove, toilet brush,
    toothbrush, tube of toothpaste, hairbrush, comb, razor, bar of soap, nail clipper, tweezer, towel, bathrobe,
    hammer, screwdriver, wrench, pair of pliers, power drill, handsaw, tape measure, spirit level, nail, screw, bolt,
    chisel, paintbrush, paint roller, ladder, flashlight, light bulb, extension cord, battery, padlock, key, keychain,
    pencil, ballpoint pen, highlighter, marker pen, crayon, eraser, ruler, pencil sharpener, paper clip, thumbtack,
    glue stick, hole puncher, calculator, envelope, postage stamp, rubber band, sticky note, globe, magnifying glass,
    laptop, computer keyboard, computer mouse, mouse pad, monitor, webcam, headphones, earphones, microphone, phone,
    tablet computer, phone charger, remote control, game controller, router, camera, tripod, wristwatch, alarm clock,
    wall clock, television, loudspeaker, desk lamp, candle, lighter, matchstick, ashtray, picture frame, mirror,
    umbrella, backpack, handbag, wallet, purse, suitcase, belt, necktie, scarf, hat, baseball cap, helmet, glove, sock,
    shoe, sneaker, sandal, slipper, boot, t-shirt, sweater, jacket, pair of jeans, pair of sunglasses, necklace, ring,
    earring, bracelet, teddy bear, doll, toy car, toy train, puzzle piece, rubber duck, yo-yo, spinning top, kite,
    chess piece, playing card, dice, tennis racket, baseball bat, golf club, hockey stick, frisbee, dumbbell, jump rope,
    skateboard, bicycle, guitar, violin, trumpet, flute, drum, piano, harmonica, potted plant, rose, sunflower, cactus,
    feather, seashell, pine cone, dog, cat, bird, hamster, horse, snake, spider, butterfly,
    chair, sofa, pillow, blanket, mattress, bookshelf, trash bag, clothes hanger, clothespin, sewing needle,
    spool of thread, button, zipper, knitting needle, safety pin, thimble, ironing board, garden hose,
    shovel, rake, axe, whistle, binoculars, telescope, compass, stethoscope, syringe,
    thermometer, bandage, face mask, pill, crutch, wheelchair, drone, cable, usb stick, hard drive, printer
    """.replace("\n", " ").split(",")
)
