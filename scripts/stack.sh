# The pair's images and compose: sourced after terminal.sh, in the root of the repository.

# compose ARGUMENT...: Docker Compose, the plugin or the older program.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"
  else docker-compose "$@"; fi
}

# choose_base_image: what all images are built from, for compose.yaml.
choose_base_image() {
  SANDGATE_BASE_IMAGE=$(scripts/base-image) || exit 1
  export SANDGATE_BASE_IMAGE
}

# content_of PATH...: a digest of the base image and of all files there, their names included.
content_of() {
  local sha256=(sha256sum)
  command -v sha256sum >/dev/null || sha256=(shasum -a 256)
  {
    docker image inspect --format '{{.Id}}' "$SANDGATE_BASE_IMAGE"
    find "$@" -type f ! -name '*.pyc' -exec "${sha256[@]}" {} + | LC_ALL=C sort
  } | "${sha256[@]}" | cut -c1-64
}

# build_images SERVICE...: those whose content is not what the last build saw.
build_images() {
  local service image content
  SANDGATE_SERVICE_CONTENT=$(content_of pyproject.toml LICENSE README.md compose.yaml gateway executor)
  SANDGATE_BOX_CONTENT=$(content_of compose.yaml executor/runtime)
  export SANDGATE_SERVICE_CONTENT SANDGATE_BOX_CONTENT
  for service in "$@"; do
    case $service in
      sandbox-*) image=sandgate-sandbox:${service#sandbox-} content=$SANDGATE_BOX_CONTENT ;;
      *) image=sandgate-$service content=$SANDGATE_SERVICE_CONTENT ;;
    esac
    [ "$(docker image inspect --format '{{index .Config.Labels "sandgate.content"}}' "$image" 2>/dev/null)" = "$content" ] ||
      quietly "Building $image" compose build "$service" ||
      fail "$image could not be built: the reason stands above; mend it and run this again, what is done is kept"
  done
}
