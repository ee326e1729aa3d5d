"""What tests of the ready-made files start from."""

README = {
    "prompt": "a cat walking through neon rain",
    "duration": 5,
    "aspect_ratio": "9:16",
    "audio": True,
}
NOTICE = "The simulator's renderer is not installed"
