"""Names of classes."""

# Alphabetical: a label of the official files is a row.
MODELNET40 = (
    "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone",
    "cup", "curtain", "desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp",
    "laptop", "mantel", "monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink",
    "sofa", "stairs", "stool", "table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox",
)  # fmt: skip
# Generated classes: a family of shapes, and the right angles about an axis that turn it from upright to its pose.
GENERATED = {
    "bottle": ("bottle", "y", 0),
    "bottle_lying": ("bottle", "y", 1),
    "chair": ("chair", "x", 0),
    "chair_tipped": ("chair", "x", 1),
    "cup": ("cup", "x", 0),
    "cup_upturned": ("cup", "x", 2),
    "girder": ("girder", "y", 0),
    "girder_standing": ("girder", "y", 1),
    "lamp": ("lamp", "x", 0),
    "lamp_hanging": ("lamp", "x", 2),
    "shelf": ("shelf", "y", 0),
    "shelf_lying": ("shelf", "y", 1),
    "stairs": ("stairs", "z", 0),
    "stairs_reversed": ("stairs", "z", 2),
    "table": ("table", "x", 0),
    "table_upturned": ("table", "x", 2),
}
