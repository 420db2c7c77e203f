"""The model card: what the hub reads at its top, how to load the model, then whatever was measured."""

import yaml

from distilrec.card import with_section, write_card

CONFIG = {"model": {"kind": "transformer", "settings": {}}, "n_items": 12101, "n_parameters": 803456}


def test_the_header_is_yaml_that_the_hub_can_read():
    header = write_card(CONFIG).split("---")[1]
    read = yaml.safe_load(header)
    assert read["library_name"] == "distilrec"
    assert read["tags"] == ["recommender-system", "knowledge-distillation", "transformer"]


def test_the_card_says_what_the_model_is_and_how_to_load_it():
    card = write_card(CONFIG, title="Beauty", example="50, 181")
    assert "# Beauty\n" in card
    assert "transformer, 803,456 parameters, 12,101 items" in card
    assert 'Recommender.from_pretrained("path/to/this/folder")' in card
    assert "recommend(history=[50, 181], k=10)" in card


def test_sections_follow_in_the_order_given():
    card = write_card(CONFIG, sections={"Data": "Real.\n\n", "Metrics": "NDCG"})
    assert card.endswith("\n## Data\n\nReal.\n\n## Metrics\n\nNDCG\n")


def test_a_section_is_given_another_text_and_the_others_stay():
    card = write_card(CONFIG, sections={"Results": "old", "Data": "Real.", "Last": "old"})
    changed = with_section(with_section(card, "Results", r"new \1 {x}"), "Last", "new")
    assert changed == write_card(CONFIG, sections={"Results": r"new \1 {x}", "Data": "Real.", "Last": "new"})
    assert with_section(card, "Metrics", "new") == card


def test_braces_in_a_section_are_left_alone():
    assert "{kind}" in write_card(CONFIG, sections={"Settings": "{kind}"})
