"""Words that `prompts.py` fills its templates with."""

from __future__ import annotations

TOPICS = tuple(
    """
the water cycle; black holes; the French Revolution; honey bees; photosynthesis; the Roman Empire; coral reefs; inflation; volcanoes;
the human heart; solar panels; the printing press; jazz music; plate tectonics; the immune system; supply and demand; chess; sourdough bread;
the Great Wall of China; vaccines; electric cars; the Renaissance; migration of birds; machine learning; the stock market; Antarctica;
the theory of evolution; DNA; the Silk Road; recycling; public libraries; the Moon landing; tea; desert plants; the ocean floor; gravity;
the Industrial Revolution; sleep; dreams; bicycles; the Amazon rainforest; ancient Egypt; glaciers; social media; working from home;
renewable energy; the history of mathematics; the piano; photography; nuclear power; whales; earthquakes; the solar system; antibiotics;
democracy; the Olympic Games; cheese; robots; lighthouses; magnetism; climate change; the nervous system; urban gardening; mountain climbing;
Shakespeare's plays; the Vikings; probability; acids and bases; thunderstorms; time zones; the internet; cryptography; the Mona Lisa;
the digestive system; poetry; marathon running; clouds; penguins; the violin; origami; rivers; trade unions; space telescopes; fossils;
the Cold War; minimalism; coffee; crop rotation; the periodic table; sharks; opera; fasting; local newspapers; the metric system;
child psychology; stoicism; game theory; bridges; maps; insurance; the water supply of a city; wolves; the Black Death; budgeting
""".replace("\n", " ").split(";")
)

PEOPLE = tuple(
    """
a retired sailor; a young inventor; a village baker; a lonely lighthouse keeper; a curious child; a tired detective; an old clockmaker;
a street musician; a shy librarian; a space engineer; a mountain guide; a ghost who likes company; a talking cat; a farmer's daughter;
an honest thief; a nurse on the night shift; a wandering knight; a robot gardener; a famous chef; a nervous bride; a chess champion;
a fox and a crow; two brothers; a taxi driver; a painter who lost her sight; an astronaut; a schoolteacher; a forgotten king
""".replace("\n", " ").split(";")
)

PLACES = tuple(
    """
in a small coastal town; on a train in winter; in an abandoned factory; on the far side of the Moon; in a crowded market; in a quiet forest;
in a house with too many doors; at the edge of the desert; during a power cut; in the year 2150; in a hospital; at a county fair;
on a sinking ship; in a library at night; in New York; in Paris; in a mountain hut; in an office; under the sea; in medieval London
""".replace("\n", " ").split(";")
)

ROLES = tuple(
    """
a travel guide; a patient maths teacher; a ship's captain; a doctor; a job interviewer; a historian; Albert Einstein; Sherlock Holmes;
a science journalist; a personal trainer; a gardener; a lawyer; a grandmother telling stories; a software architect; a film critic;
a career coach; a chef in a busy restaurant; a philosopher; a financial adviser; a museum guide; Marie Curie; a sports commentator;
an alien who visits the Earth for the first time; a medieval blacksmith; a kindergarten teacher; the CEO of a small company
""".replace("\n", " ").split(";")
)

PROGRAMS = tuple(
    """
reverses a string; checks whether a number is prime; finds the largest element of a list; counts the words in a text file;
computes the Fibonacci numbers; sorts a list with quicksort; merges two sorted lists; checks whether a string is a palindrome;
finds duplicates in a list; converts Celsius to Fahrenheit; implements a stack; implements a queue with two stacks;
traverses a binary tree in order; finds the shortest path in a graph; reads a CSV file and prints the mean of a column;
downloads a web page and lists its links; validates an e-mail address; implements binary search; computes the factorial of n;
removes the vowels from a text; groups words that are anagrams; prints the multiplication table; simulates rolling two dice;
computes the greatest common divisor; transposes a matrix; finds the median of two lists; counts the bits set in an integer;
parses a date; implements a linked list; solves the eight queens problem; implements a least-recently-used cache; plays tic-tac-toe
""".replace("\n", " ").split(";")
)

LANGUAGES = ("Python", "Python", "Python", "JavaScript", "C++", "Java", "SQL or Python", "Go")

FACT_QUESTIONS = (
    "Who wrote {work}?",
    "Who plays the main character in {work}?",
    "When was {work} first published?",
    "What is the plot of {work}?",
    "What is the capital of {country}?",
    "How many people live in {country}?",
    "What language is spoken in {country}?",
    "Where is {country} on the map?",
    "What is the national dish of {country}?",
    "When did {country} win the world cup?",
    "Who was the first president of {country}?",
    "What does the word {word} mean?",
    "Where does the name {word} come from?",
    "Who invented the {thing}?",
    "How does a {thing} work?",
    "When was the {thing} invented?",
    "What is the difference between a {thing} and a {thing2}?",
    "Who sang the song about the {thing}?",
)

WORKS = (
    "Moby Dick",
    "Hamlet",
    "the movie Casablanca",
    "Pride and Prejudice",
    "The Odyssey",
    "Star Wars",
    "Frankenstein",
    "War and Peace",
    "The Godfather",
    "Don Quixote",
    "Game of Thrones",
    "Friends",
    "The Lord of the Rings",
    "1984",
    "Les Misérables",
    "The Wizard of Oz",
    "Breaking Bad",
    "Treasure Island",
)

COUNTRIES = tuple(
    "France Germany Japan Brazil Canada Kenya India Norway Peru Egypt Australia Spain Mexico Turkey Vietnam "
    "Greece Poland Ghana Iceland Chile Portugal Thailand Finland Morocco Argentina".split()
)

WORDS = tuple(
    "serendipity Oxford entropy Sunday sandwich algorithm Massachusetts metaphor quarantine Amazon jury".split()
)

THINGS = tuple(
    """
telephone; bicycle; steam engine; microscope; light bulb; camera; refrigerator; compass; radio; computer mouse; zipper; battery;
violin; thermometer; elevator; jet engine; clock; telescope; microwave oven; washing machine; laser; printer
""".replace("\n", " ").split(";")
)

GERMAN_SUBJECTS = (
    "Die Regierung",
    "Der Bürgermeister",
    "Die junge Ärztin",
    "Der Trainer der Mannschaft",
    "Das Unternehmen",
    "Meine Schwester",
    "Ein Sprecher der Polizei",
    "Die Feuerwehr",
    "Der deutsche Außenminister",
    "Die Universität",
    "Der alte Fischer",
    "Ein Gericht in München",
    "Die Opposition",
    "Der Verein",
    "Das Museum",
    "Eine Gruppe von Forschern",
)

GERMAN_VERBS = (
    ("hat", "vorgestellt"),
    ("hat", "kritisiert"),
    ("will", "verkaufen"),
    ("wird", "untersuchen"),
    ("hat", "gefunden"),
    ("möchte", "verbessern"),
    ("hat", "verloren"),
    ("kann", "nicht erklären"),
    ("hat", "gewonnen"),
    ("muss", "bezahlen"),
    ("hat", "angekündigt"),
    ("wollte", "verhindern"),
)

GERMAN_OBJECTS = (
    "den neuen Plan",
    "die Ergebnisse der Wahl",
    "das alte Haus am Fluss",
    "die Preise für Strom und Gas",
    "das wichtige Spiel",
    "die Ursache des Unfalls",
    "den Vertrag mit der Stadt",
    "mehrere Millionen Euro",
    "ein Buch über die Geschichte Europas",
    "die Reise nach Berlin",
    "eine Lösung für das Problem",
    "den Bau der Brücke",
    "die Qualität des Wassers",
    "neue Arbeitsplätze",
)

GERMAN_TIMES = (
    "am Montag",
    "in der vergangenen Woche",
    "nach langer Diskussion",
    "trotz des schlechten Wetters",
    "im nächsten Jahr",
    "gestern Abend",
    "vor zwei Jahren",
    "während der Krise",
    "zum ersten Mal",
    "in Hamburg",
    "bei einem Treffen in Wien",
    "mit großer Mehrheit",
)

GERMAN_ENDINGS = (
    "",
    " , weil die Kosten weiter steigen",
    " , obwohl viele Menschen dagegen sind",
    " , sagte er der Zeitung",
    " und damit für Überraschung gesorgt",
    " , wie ein Sprecher mitteilte",
    " , um die Familie zu unterstützen",
)
