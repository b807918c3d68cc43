"""Settings: what the environment says, and what is refused."""

import pytest

from executor.settings import VARIABLES, Settings, SettingsError, read_settings

SECRET = "s" * 32


def test_nothing_set_gives_the_documented_defaults() -> None:
    assert read_settings({}) == Settings()


def test_a_variable_that_is_set_but_empty_counts_as_not_set() -> None:
    assert read_settings({variable.name: " " for variable in VARIABLES}) == Settings()


def test_an_option_wins_over_the_environment() -> None:
    assert read_settings({"EXECUTOR_PORT": "4000"}, {"port": 4001, "host": None}).port == 4001


def test_the_first_image_is_the_default_and_every_image_has_a_pool_size() -> None:
    settings = read_settings({"SANDBOX_IMAGES": "ml=registry:5000/ml:1, base=b:2"})
    assert settings.default_image == "ml"
    assert settings.images == {"ml": "registry:5000/ml:1", "base": "b:2"}
    assert settings.pool_size == {"ml": 1, "base": 4}


def test_a_pool_size_that_is_given_leaves_the_others_as_they_are() -> None:
    assert read_settings({"POOL_SIZE": "base=0"}).pool_size == {"base": 0, "data": 1}


@pytest.mark.parametrize(
    ("name", "most", "usual"), [("TIMEOUT_SECONDS", 5, 10), ("MEMORY_MB", 128, 256), ("CPUS", 0.5, 1)]
)
def test_a_default_that_nobody_set_gives_way_to_a_lower_maximum(name: str, most: float, usual: float) -> None:
    def default(**environment: str) -> float:
        value: float = getattr(read_settings(environment), f"default_{name.lower()}")
        return value

    assert default(**{f"MAX_{name}": str(most)}) == most
    assert default(**{f"MAX_{name}": str(2 * usual)}) == usual
    with pytest.raises(SettingsError, match=f"DEFAULT_{name}.*MAX_{name}"):
        default(**{f"MAX_{name}": str(most), f"DEFAULT_{name}": str(usual)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXECUTOR_PORT", "http"),
        ("EXECUTOR_PORT", "70000"),
        ("EXECUTOR_SECRET", "short"),
        ("DOCKER_HOST", "ssh://somewhere"),
        ("SANDBOX_IMAGES", "base"),
        ("SANDBOX_IMAGES", "base=a,base=b"),
        ("SANDBOX_RUNTIME", "run c"),
        ("POOL_SIZE", "base=-1"),
        ("POOL_SIZE", "other=1"),
        ("MAX_CONCURRENT", "0"),
        ("QUEUE_SECONDS", "nan"),
        ("DEFAULT_TIMEOUT_SECONDS", "1e400"),
        ("DEFAULT_TIMEOUT_SECONDS", "61"),
        ("DEFAULT_MEMORY_MB", "2048"),
        ("DEFAULT_CPUS", "3"),
        ("MAX_REQUEST_BYTES", "16MB"),
        ("WAIVE_CONTROLS", "netwrok"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_complaint_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_without_a_secret_only_loopback_may_be_listened_on() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        assert read_settings({"EXECUTOR_HOST": host}).host == host
    for host in ("0.0.0.0", "::", "10.0.0.1", "executor"):
        with pytest.raises(SettingsError, match="EXECUTOR_SECRET"):
            read_settings({"EXECUTOR_HOST": host})
        assert read_settings({"EXECUTOR_HOST": host, "EXECUTOR_SECRET": SECRET}).host == host


def test_the_secret_is_in_no_repr_and_in_no_complaint() -> None:
    assert SECRET not in repr(Settings(secret=SECRET))
    with pytest.raises(SettingsError) as refused:
        read_settings({"EXECUTOR_SECRET": "tooshort"})
    assert "tooshort" not in str(refused.value)


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]  # that is the point
