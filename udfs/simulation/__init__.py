"""The simulated city: plan, land, images and truth. The oracle of the tests, and ground to train on."""
