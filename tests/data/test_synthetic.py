import numpy as np

from distilrec.data.synthetic import markov_world, successor


def test_without_noise_every_item_is_followed_by_its_successor():
    world = markov_world(noise=0.0)
    for row in world.sequences():
        assert row[1:].tolist() == successor(row[:-1], world.n_items).tolist()


def test_the_noise_is_about_as_often_as_asked():
    world = markov_world(n_users=500, noise=0.2)
    steps = np.concatenate([row[1:] == successor(row[:-1], world.n_items) for row in world.sequences()])
    assert abs(steps.mean() - (0.8 + 0.2 / world.n_items)) < 0.02


def test_the_circle_closes():
    assert successor(np.array([0, 23]), 24).tolist() == [1, 0]


def test_ids_are_row_numbers_and_titles_name_the_cluster():
    world = markov_world(n_items=8, n_clusters=2)
    assert world.items["item_id"].to_list() == list(range(8))
    assert world.items["title"][0] == "amber thing 0"
    assert world.items["cluster"].to_list() == ["amber"] * 4 + ["birch"] * 4


def test_more_clusters_than_names_are_still_told_apart():
    assert markov_world(n_items=20, n_clusters=20).items["cluster"].n_unique() == 20


def test_the_seed_decides():
    assert markov_world().digest() == markov_world().digest() != markov_world(seed=1).digest()
