"""References in a schema are written out, unless they have no end."""

from gateway.providers.schemas import MAX_NODES, inline_references


def test_a_reference_is_replaced_and_what_stands_beside_it_kept():
    schema = {
        "type": "object",
        "properties": {"home": {"$ref": "#/$defs/Place", "description": "where"}},
        "$defs": {
            "Place": {"type": "object", "properties": {"city": {"$ref": "#/$defs/Name"}}},
            "Name": {"type": "string"},
        },
    }
    assert inline_references(schema) == {
        "type": "object",
        "properties": {"home": {"type": "object", "properties": {"city": {"type": "string"}}, "description": "where"}},
    }


def test_a_schema_without_references_is_untouched():
    schema = {"type": "object", "properties": {"definitions": {"type": "string"}, "$ref": {"type": "string"}}}
    assert inline_references(schema) == schema


def test_a_reference_into_itself_stays_with_its_definition():
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    schema = {"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}
    inlined = inline_references(schema)
    assert inlined["$defs"] == {"Tree": tree}
    assert inlined["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_a_reference_to_nowhere_stays():
    schema = {"properties": {"x": {"$ref": "#/$defs/Missing"}}}
    assert inline_references(schema) == schema


def test_a_schema_that_would_explode_is_left_alone():
    definitions = {f"D{level}": {"anyOf": [{"$ref": f"#/$defs/D{level + 1}"}] * 2} for level in range(30)}
    schema = {"$ref": "#/$defs/D0", "$defs": {**definitions, "D30": {"type": "string"}}}
    assert MAX_NODES < 2**30
    assert inline_references(schema) == schema
